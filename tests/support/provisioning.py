"""A model of AWS's side of provisioning, in values: certificates and ownership tokens."""

import dataclasses

from fleet_agent.credentials.model import Csr, KeyPair, Secret
from fleet_agent.credentials.validity import Validity
from fleet_agent.provisioning.model import Given, Operation, Plan, RejectedError

OWNERSHIP_TOKEN_LIFE = 3600.0

GIVEN_CSR = Csr(pem="a request", hash="c5" * 32, public_key=b"")


def make_plan(method: str = "csr", csr: Csr | None = None, *, has_csr_key: bool = False) -> Plan:
    """A plan; the device makes its key unless a CSR is given or AWS makes both."""
    return Plan(
        endpoint="a.example",
        template="fleet",
        method=method,
        key_type="ec-p256",
        parameters={"SerialNumber": "7"},
        csr=csr,
        csr_key=Secret("its key") if has_csr_key else None,
    )


def plan_to_adopt(certificate_id: str = "c1") -> Plan:
    """A plan in which certificate and key are given."""
    pair = KeyPair(
        certificate="a certificate",
        private_key=Secret("its key"),
        certificate_file="device.pem.crt",
        private_key_file="device.pem.key",
    )
    given = Given(
        pair=pair,
        certificate_id=certificate_id,
        thing_name="pump",
        dates=Validity(not_before=0.0, not_after=9e9),
        is_from_aws=False,
    )
    return dataclasses.replace(make_plan("given"), template="", parameters={}, given=given)


@dataclasses.dataclass
class Certificate:
    """One in the cloud, for a public key. ``answered``: its id reached the device."""

    key: bytes
    made: float
    is_active: bool = False
    answered: bool = False


class Cloud:
    """Certificates, ownership tokens, and what AWS answers to a second RegisterThing with one token.

    Args:
        is_idempotent: It accepts it again; otherwise it refuses.
        says_token: Its refusal of a token has that word in it.
    """

    def __init__(self, *, is_idempotent: bool, says_token: bool) -> None:
        self.certificates: dict[str, Certificate] = {}
        self._is_idempotent = is_idempotent
        self._says_token = says_token

    def create(self, key: bytes, now: float) -> str:
        """A certificate for this key, PENDING_ACTIVATION; its id."""
        certificate_id = f"c{len(self.certificates) + 1:03d}"
        self.certificates[certificate_id] = Certificate(key=key, made=now)
        return certificate_id

    def register(self, token: str, now: float) -> None:
        """RegisterThing."""
        certificate = self.certificates[token.removeprefix("token of ")]
        if now - certificate.made > OWNERSHIP_TOKEN_LIFE or (
            certificate.is_active and not self._is_idempotent
        ):
            why = "Invalid certificate ownership token" if self._says_token else "Expired or used"
            raise RejectedError(Operation.REGISTER, 400, "Invalid", why)
        certificate.is_active = True
