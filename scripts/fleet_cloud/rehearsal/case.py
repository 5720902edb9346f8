"""What a simulated run is given, and the outcome."""

import dataclasses
from collections.abc import Callable

from fleet_agent.session import backoff
from fleet_agent.session.backoff import Patience
from fleet_cloud.rehearsal.hook_calls import HookCalls
from fleet_cloud.rehearsal.power import BOOTING, Cut, PowerOn


@dataclasses.dataclass(frozen=True)
class Client:
    """How a client waits: the window of its first contact, and the seconds after the n-th failure in a row."""

    name: str
    delay: Callable[[Patience, int, float], float]
    window: float = 0.0
    is_agent: bool = False


@dataclasses.dataclass(frozen=True, kw_only=True)
class Latency:
    """Seconds that the cloud takes: to connect (TCP, TLS, CONNECT, SUBSCRIBE), to answer, to answer RegisterThing."""

    connect: float = 0.4
    answer: float = 0.2
    register: float = 0.2


LATENCY = Latency()


@dataclasses.dataclass(frozen=True)
class Case:
    """A fleet that gets its power.

    ``is_silent``: what is over the quota is not answered. ``is_strict``: the quota is a ``Window``. ``patience_for``
    ends a hopeless run after so many requests a device.
    """

    devices: int
    per_second: float = 10.0
    cuts: tuple[Cut, ...] = ()
    is_silent: bool = False
    is_strict: bool = False
    patience_for: float = 60.0
    power: PowerOn = BOOTING
    latency: Latency = LATENCY
    hook: HookCalls = HookCalls()  # noqa: RUF009 - frozen

    @property
    def bound(self) -> float:
        """Seconds that the quota itself needs for the fleet."""
        return self.devices / self.per_second


@dataclasses.dataclass(frozen=True)
class Figures:
    """The outcome. Times in seconds since power-on; ``own`` from a device's first contact to its identity."""

    case: Case
    provisioned: int
    requests: int
    rejected: int
    certificates: int
    hook_calls: int  # to the registry
    hook_failed: int  # registrations that a quota of the registry refused
    requests_of_each: list[int]
    done: list[float]
    own: list[float]

    @property
    def is_complete(self) -> bool:
        """Whether every device has its identity."""
        return self.provisioned == self.case.devices

    @property
    def times_bound(self) -> float:
        """Time until all are provisioned, in units of the quota's own bound."""
        return max(self.done, default=0.0) / self.case.bound

    @property
    def per_device(self) -> float:
        """Requests a device; two are needed."""
        return self.requests / self.case.devices


def agent(window: float) -> Client:
    """Ours, with a spread of so many seconds."""
    return Client("fleet-agent", backoff.delay, window, is_agent=True)
