"""What the runner needs from outside; ``identity.walk`` builds it."""

import contextlib
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import ParamSpec, Protocol, TypeVar

from fleet_agent.clock import Clock
from fleet_agent.credentials.model import Credential, KeyPair, Secret
from fleet_agent.credentials.store import Store
from fleet_agent.errors import AgentError
from fleet_agent.provisioning.answers import Certificate
from fleet_agent.provisioning.proof import Proven
from fleet_agent.provisioning.report import Report
from fleet_agent.record import record

P = ParamSpec("P")
T = TypeVar("T")


class Api(Protocol):
    """The provisioning API over one session: ``aws.ProvisioningClient`` says what each call raises."""

    @property
    def is_open(self) -> bool:
        """Whether requests can be made."""

    def start(self) -> None:
        """Begins to connect; the caller can do something else meanwhile."""

    def wait_open(self) -> None:
        """Waits until requests can be made."""

    def create_certificate(self, csr: str | None) -> Certificate:
        """CreateCertificateFromCsr, or CreateKeysAndCertificate when ``csr`` is None."""

    def register_thing(
        self, ownership_token: Secret, parameters: Mapping[str, str]
    ) -> tuple[str | None, dict[str, str]]:
        """RegisterThing: the thing's name and the device configuration."""

    def close(self) -> None:
        """Disconnects."""


class Call(Protocol):
    """Calls a function, here or in a worker process: ``programs.worker`` says what that takes."""

    def __call__(self, function: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
        """Returns what it returns, raises what it raises."""


def here(function: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
    """A ``Call`` in this process: for a command that ends soon, and for tests."""
    return function(*args, **kwargs)


ReportWaiting = Callable[[AgentError, float], None]
Prove = Callable[[Credential, KeyPair, ReportWaiting], Proven]
Asking = Callable[[], AbstractContextManager[None]]


@record
class Dependencies:
    """The objects that a walk uses.

    Args:
        store: Keeps what each step brings.
        clock: For ages and dates.
        call: Calls what needs cryptography, which the daemon does not import.
        sleep: Waits so many seconds; raises what ends the walk meanwhile.
        jitter: A random number in [0, 1).
        report: Reports the steps.
        read_pair: Reads the certificate and key to ask with (the claim, or the device's own), again for each session.
        make_api: A session with the provisioning API under it, not started.
        prove: Proves a credential; calls back while it waits.
        topics: All templates of the configuration, each with its source.
        outlasts_refusal: Whether to wait when AWS refuses: a daemon waits for a change in the cloud, a command ends so
            that a person can act at once.
        in_use: The identity to be replaced by one of the same thing; None: any thing will do.
        pause: Seconds to wait before the proof, where the session before it had the same client id.
        asking: Surrounds each request for a certificate; may refuse it.
    """

    store: Store
    clock: Clock
    call: Call
    sleep: Callable[[float], None]
    jitter: Callable[[], float]
    report: Report
    read_pair: Callable[[], KeyPair]
    make_api: Callable[[KeyPair], Api]
    prove: Prove
    topics: Sequence[tuple[str, str]]
    outlasts_refusal: bool
    in_use: Credential | None = None
    pause: float = 0.0
    asking: Asking = contextlib.nullcontext
