"""What the runner needs from outside: everything of it that the composition root makes."""

from collections.abc import Callable, Mapping, Sequence
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


@record
class Dependencies:
    """What a walk is carried out with.

    Args:
        store: Keeps what each step brings.
        clock: For ages and dates.
        call: Calls what needs cryptography, which the daemon does not import.
        sleep: Lets so many seconds pass; raises what ends the walk meanwhile.
        jitter: A random number in [0, 1).
        report: Hears of the steps.
        read_claim: Reads the credential to ask with, again for each session.
        make_api: A session with the provisioning API under it, not started.
        prove: Proves a credential; calls back while it waits.
        topics: All templates of the configuration, each with its source.
        outlasts_refusal: On a bench a refusal ends the command, so that it can be fixed at once; a daemon waits for
            the cloud to change.
        in_use: The identity that the new one replaces, of the same thing; None where any thing is right.
        pause: Seconds before the proof, where the session before it had the same client id.
    """

    store: Store
    clock: Clock
    call: Call
    sleep: Callable[[float], None]
    jitter: Callable[[], float]
    report: Report
    read_claim: Callable[[], KeyPair]
    make_api: Callable[[KeyPair], Api]
    prove: Prove
    topics: Sequence[tuple[str, str]]
    outlasts_refusal: bool
    in_use: Credential | None = None
    pause: float = 0.0
