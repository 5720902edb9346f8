"""A network namespace whose only peer is this machine, where the sandbox listens: no route leads elsewhere."""

import itertools
import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from boot.roots import run

_numbers = itertools.count()


@dataclass(frozen=True)
class Network:
    """A pair of interfaces, one of them in a namespace.

    Attributes:
        namespace: its name.
        host: this machine's address in it.
        device: the device's.
    """

    namespace: str
    host: str
    device: str

    @property
    def path(self) -> str:
        """The namespace as systemd-nspawn wants it named."""
        return f"/run/netns/{self.namespace}"

    def switch(self, *, on: bool) -> None:
        """Pulls the device's cable, or plug it in."""
        state = "up" if on else "down"
        run("ip", "-n", self.namespace, "link", "set", "device0", state)


@contextmanager
def network() -> Iterator[Network]:
    """Makes one for as long as the block lasts."""
    number = os.getpid() % 4096 * 16 + next(_numbers) % 16  # of the /30s below 10.64.0.0/14
    base = f"10.{64 + (number >> 14)}.{(number >> 6) & 255}"
    low = (number & 63) * 4
    name = f"fleet{number}"
    made = Network(name, f"{base}.{low + 1}", f"{base}.{low + 2}")
    run("ip", "netns", "add", name)
    try:
        run("ip", "link", "add", name, "type", "veth", "peer", "name", "device0", "netns", name)
        run("ip", "address", "add", f"{made.host}/30", "dev", name)
        run("ip", "link", "set", name, "up")
        run("ip", "-n", name, "address", "add", f"{made.device}/30", "dev", "device0")
        run("ip", "-n", name, "link", "set", "lo", "up")
        made.switch(on=True)
        yield made
    finally:
        subprocess.run(["ip", "netns", "delete", name], check=False)
