"""The values that ``machine`` decides on: the plan, the steps, the verdict on a failure. Pure."""

import enum
from collections.abc import Mapping

from fleet_agent.credentials.model import (
    Attempt,
    Csr,
    HardwareToken,
    Home,
    KeyPair,
    Origin,
    PrivateKey,
)
from fleet_agent.credentials.validity import Validity
from fleet_agent.errors import AgentError
from fleet_agent.provisioning.report import Milestone
from fleet_agent.record import record
from fleet_agent.session.backoff import Patience


@record
class Given:
    """A certificate and key that the device has already, to be adopted.

    ``is_from_aws``: AWS made it, so that no CA's registration is under way.
    """

    pair: KeyPair
    certificate_id: str
    thing_name: str | None
    dates: Validity
    is_from_aws: bool


@record
class Plan:
    """The identity that is wanted, by flags, file or both.

    ``csr`` is a request made elsewhere, ``csr_key`` its key if the device is to have it. ``hardware_token`` is where
    the device's key is made, under ``label`` the first time. ``given`` is what is adopted; then nothing is asked for.
    ``home`` is where the device is moved, or was. ``key_of`` is the generation whose key is used again: that of an
    identity to be recovered.
    """

    endpoint: str
    template: str
    method: str
    key_type: str
    parameters: Mapping[str, str]
    csr: Csr | None = None
    csr_key: PrivateKey | None = None
    hardware_token: HardwareToken | None = None
    label: str = ""
    given: Given | None = None
    home: Home | None = None
    key_of: int | None = None

    @property
    def provides_key(self) -> bool:
        """Whether this device gets a key before it asks for the certificate."""
        if self.given is not None:
            return True
        return self.method == "csr" and (self.csr is None or self.csr_key is not None)

    @property
    def origin(self) -> Origin:
        """The origin of the identity."""
        return "claim" if self.given is None else "adopted"

    def attempt(self, now: float, parameters_hash: str) -> Attempt:
        """The first try at this plan; ``now`` in Unix seconds."""
        return Attempt(
            endpoint=self.endpoint,
            template=self.template,
            method=self.method,
            parameters_hash=parameters_hash,
            csr_hash=self.csr.hash if self.csr else None,
            tries=1,
            not_before=0.0,
            opened=now,
            origin=self.origin,
            certificate_id=self.given.certificate_id if self.given else None,
            home=self.home,
            key_of=self.key_of,
        )


class Step(enum.Enum):
    """The next step; the value is shown to people: the milestone that the step leads to, if there is one."""

    OPEN = "attempt"
    KEY = "key"
    ISSUE = Milestone.CERTIFICATE
    REGISTER = Milestone.REGISTERED
    PROVE = Milestone.PROVEN
    PROMOTE = Milestone.CURRENT
    KEPT = "kept"  # registered, and the key is elsewhere: nothing more can be done here


class Operation(enum.Enum):
    """The calls of the provisioning API, by their documented names."""

    CREATE_KEYS = "CreateKeysAndCertificate"
    CREATE_FROM_CSR = "CreateCertificateFromCsr"
    REGISTER = "RegisterThing"


class RejectedError(Exception):
    """AWS's answer on ``…/rejected``; any part may be missing. ``machine.judge`` words it."""

    def __init__(
        self, operation: Operation, status_code: int | None, error_code: str, message: str
    ) -> None:
        super().__init__(f"{operation.value}: {status_code} {error_code} {message}")
        self.operation = operation
        self.status_code = status_code
        self.error_code = error_code
        self.message = message


@record
class Verdict:
    """What to do about a step that did not succeed.

    ``error`` is what the user reads; ``patience`` how to wait before the next try, None when waiting cannot help;
    ``drop_certificate``: ask for a new one next time, this one's ownership token was refused.
    """

    error: AgentError
    patience: Patience | None
    drop_certificate: bool = False
