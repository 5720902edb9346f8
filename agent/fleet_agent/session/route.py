"""The route to AWS IoT: directly, or through an HTTP proxy that allows CONNECT."""

import contextlib
import dataclasses
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from fleet_agent import files
from fleet_agent.config.paths import resolve_path
from fleet_agent.config.settings import DIRECT, Settings
from fleet_agent.errors import DeviceError
from fleet_agent.record import record

if TYPE_CHECKING:
    from urllib.parse import SplitResult

ALPN_PORT = 443  # AWS IoT speaks MQTT there to who asks by ALPN
ALPN = "x-amzn-mqtt-ca"

# In curl's order: the small ones first.
_VARIABLES = ("https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY")
_HTTP_PORT = 80
GIVE_CA = "Set the server's CA with --ca-file or ca_file; AWS IoT's is AmazonRootCA1.pem."
_LONGEST = 4096  # bytes of a proxy's user and password


@record
class Route:
    """Host, port, the CA's file (None: the system's store), and the proxy as a URL, with user and password if any."""

    host: str
    port: int
    ca_file: str | None
    proxy: str | None = dataclasses.field(repr=False)
    # What AWS calls it: how its name is found.
    kind: Literal["iot:Data-ATS", "iot:CredentialProvider"] = "iot:Data-ATS"

    # Without TLS, as some emulator of AWS is reached.
    is_plain: bool = False

    @property
    def alpn(self) -> str | None:
        """The ALPN protocol that the handshake requests."""
        return ALPN if self.kind == "iot:Data-ATS" and self.port == ALPN_PORT else None

    @property
    def proxy_parts(self) -> "SplitResult":
        """The proxy's URL, taken apart."""
        from urllib.parse import urlsplit

        return urlsplit(self.proxy or "")

    @property
    def proxy_address(self) -> str:
        """The proxy's host:port, for people."""
        return f"{self.proxy_parts.hostname}:{self.proxy_parts.port}"


def route(settings: Settings, environment: Mapping[str, str] = os.environ) -> Route:
    """The way that the settings describe; a proxy that they leave open is the environment's.

    Raises:
        DeviceError: The file of the proxy's user and password cannot be read, or the environment names no HTTP proxy.
    """
    return _route(settings, environment, settings.endpoint, settings.port)


def credentials_route(settings: Settings, environment: Mapping[str, str] = os.environ) -> Route:
    """The way to AWS IoT's credentials provider.

    Raises:
        DeviceError: There is no section `credentials`, or as for ``route``.
    """
    wanted = settings.credentials
    if wanted is None:
        raise DeviceError(
            "The configuration has no section `credentials`.",
            remedy="Add it with endpoint and aliases: docs/how-to/aws-credentials.md",
            code="configuration",
        )
    found = _route(settings, environment, wanted.endpoint, wanted.port)
    return dataclasses.replace(found, kind="iot:CredentialProvider")


def route_to(settings: Settings, host: str, port: int, *, is_plain: bool = False) -> Route:
    """The way to another server, by the proxy that the settings or the environment name for it.

    Raises:
        DeviceError: As for ``route``.
    """
    found = _route(settings, os.environ, host, port)
    return dataclasses.replace(found, kind="iot:CredentialProvider", is_plain=is_plain)


def _route(settings: Settings, environment: Mapping[str, str], host: str, port: int) -> Route:
    proxy = settings.proxy
    if proxy is None:
        proxy = _of_environment(host, port, environment)
    elif proxy == DIRECT:
        proxy = None
    if proxy is not None and settings.proxy_credentials is not None:
        who = _credentials(resolve_path(settings.proxy_credentials, environment))
        parts = proxy.removeprefix("http://").rpartition("@")[2]
        proxy = f"http://{who}@{parts}"
    return Route(host=host, port=port, ca_file=settings.ca_file, proxy=proxy)


def ca_file(name: str) -> bytes:
    """Returns the content of a CA file.

    Raises:
        DeviceError: It cannot be read.
    """
    try:
        return files.read_given(Path(name))
    except OSError as error:
        raise DeviceError(
            f"Cannot read the CA file {name}: {error.strerror}.",
            remedy=GIVE_CA,
            code="ca-unreadable",
        ) from error


def _credentials(path: Path) -> str:
    """``user:password`` of a file, as a URL has it."""
    from urllib.parse import quote

    remedy = "Write one line, user:password, into it, then chmod 400; for the service, LoadCredential= can pass it."
    try:
        text = files.read_given(path, _LONGEST).decode("utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "not UTF-8"
        raise DeviceError(
            f"The proxy's user and password cannot be read from {path}: {why}.",
            remedy=remedy,
            code="proxy-credentials",
        ) from None  # the cause may quote the input
    user, colon, password = text.strip("\r\n").partition(":")
    if not user or not colon or "\n" in password:
        raise DeviceError(
            f"{path} does not contain user:password on one line.",
            remedy=remedy,
            code="proxy-credentials",
        )
    return f"{quote(user, safe='')}:{quote(password, safe='')}"


def _of_environment(host: str, port: int, environment: Mapping[str, str]) -> str | None:
    name = next((variable for variable in _VARIABLES if environment.get(variable)), None)
    if name is None or _is_exempt(host, port, environment):
        return None
    from urllib.parse import urlsplit

    text = environment[name]
    if re.search(r"[/?#].*@", text.partition("://")[2] or text, re.DOTALL):
        # Taken apart at the wrong place, and a piece of the password would be shown as the proxy's address.
        raise DeviceError(
            f"The environment variable {name} has a character in its user or password that must be written as %XX.",
            remedy="Write / as %2F, # as %23, ? as %3F, @ as %40, : as %3A; or put user:password into a file: "
            "proxy_credentials.",
            code="proxy-kind",
        )
    with contextlib.suppress(ValueError):
        parts = urlsplit(text if "://" in text else f"http://{text}")
        if parts.scheme == "http" and parts.hostname:
            where = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
            who, at, _ = parts.netloc.rpartition("@")
            return f"http://{who}{at}{where}:{parts.port or _HTTP_PORT}"
    raise DeviceError(
        f"The environment variable {name} does not name an HTTP proxy (http://host:port).",
        remedy="Set it in the configuration: proxy: http://host:port; or proxy: none for no proxy.",
        code="proxy-kind",
    )


def _is_exempt(host: str, port: int, environment: Mapping[str, str]) -> bool:
    """Whether NO_PROXY names this host: ``*``, a name with all below it, an address, a network; each with a port."""
    text = environment.get("no_proxy") or environment.get("NO_PROXY") or ""
    host = host.lower().rstrip(".")
    return any(
        _fits(entry.strip().lower(), host, port) for entry in text.split(",") if entry.strip()
    )


def _fits(entry: str, host: str, port: int) -> bool:
    if entry == "*":
        return True
    name, colon, last = entry.rpartition(":")
    if colon and last.isdecimal() and (":" not in name or name.startswith("[")):
        if int(last) != port:
            return False
        entry = name
    entry = entry.strip("[]")
    if host.replace(".", "").isdecimal() or ":" in host:
        return _is_in_network(host, entry)
    entry = entry.removeprefix("*").strip(".")
    return host == entry or host.endswith(f".{entry}")


def _is_in_network(host: str, entry: str) -> bool:
    import ipaddress

    try:
        return ipaddress.ip_address(host) in ipaddress.ip_network(entry, strict=False)
    except ValueError:
        return False
