"""What the command line asks for, and the one error a start can end with."""

import ipaddress
import socket
from dataclasses import dataclass, field
from pathlib import Path

from iot_sandbox.limits import Limits
from iot_sandbox.switches import Switches

EXIT_UNAVAILABLE = 69
EXIT_CANNOT_WRITE = 73
EXIT_BUSY = 75

ACCESS_KEY_ID = "sandbox"
SECRET_ACCESS_KEY = "sandbox"  # noqa: S105  a public password: everything listens on loopback
ACCOUNT_ID = "123456789012"


class SandboxError(Exception):
    """The sandbox cannot start; the text says why and what to do.

    Attributes:
        exit_status: what the process ends with.
    """

    def __init__(self, message: str, exit_status: int) -> None:
        super().__init__(message)
        self.exit_status = exit_status


@dataclass(frozen=True)
class Settings:
    """One sandbox.

    Attributes:
        state_dir: where the state is kept over a clean restart.
        host: address or name both listeners bind.
        names: further names and addresses for the server certificate.
        mqtt_ports: ports of the MQTT listener; 0 picks a free one. Devices are sent to the first.
        http_port: port of the HTTP listener; 0 picks a free one.
        credentials_port: port of the credentials endpoint; 0 picks a free one.
        region: the AWS region it says it is.
        limits: what connections are held to.
        certificate_life: seconds that certificates by CSR live, from a certificate provider; None: no provider.
        certificate_chain: whether the provider's CA is an intermediate one, which comes with each certificate.
        switches: what AWS may do otherwise.
        follow_stdin: end when standard input is closed.
    """

    state_dir: Path
    host: str = "127.0.0.1"
    names: tuple[str, ...] = ()
    mqtt_ports: tuple[int, ...] = (8883,)
    http_port: int = 4566
    credentials_port: int = 9443
    region: str = "eu-west-1"
    limits: Limits = field(default_factory=Limits)
    certificate_life: int | None = None
    certificate_chain: bool = False
    switches: Switches = field(default_factory=Switches)
    follow_stdin: bool = False

    @property
    def is_loopback(self) -> bool:
        """Whether only this machine can reach the listeners."""
        address = _address(self.host)
        return address.is_loopback if address else self.host == "localhost"

    @property
    def endpoint(self) -> str:
        """The host a device dials: the first ``--name``, or what ``--host`` stands for."""
        if self.names:
            return self.names[0]
        if self.is_loopback:
            return "localhost"
        address = _address(self.host)
        return socket.gethostname() if address and address.is_unspecified else self.host

    @property
    def http_host(self) -> str:
        """The host of the HTTP address, in brackets when it is an IPv6 address."""
        address = _address(self.host)
        host = self.endpoint if address and address.is_unspecified else self.host
        return f"[{host}]" if ":" in host else host

    def certificate_names(self) -> tuple[list[str], list[str]]:
        """Returns the DNS names and the IP addresses the server certificate must carry."""
        wanted = dict.fromkeys([self.endpoint, self.host, *self.names])
        addresses = [n for n in wanted if (a := _address(n)) and not a.is_unspecified]
        return [n for n in wanted if _address(n) is None], addresses


def _address(name: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(name)
    except ValueError:
        return None
