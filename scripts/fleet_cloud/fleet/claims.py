"""The fleet's claims in the cloud, and what an interrupted ``claim new`` left there."""

import base64
import binascii
import dataclasses
import re
from collections.abc import Sequence

from fleet_cloud.aws.calls import Answer, Aws, entries, text
from fleet_cloud.aws.names import FleetNames
from fleet_cloud.fleet import inventory
from fleet_cloud.fleet.inventory import ACTIVE, Certificate, Holdings

# Beyond this many certificates of others, looking for leftovers takes minutes and is left to --all.
_LOOKED_THROUGH = 100


@dataclasses.dataclass(frozen=True, kw_only=True)
class Claim:
    """A claim: ``state`` is ``active``, ``revoked`` (or another state of a certificate), or ``leftover``."""

    certificate: Certificate
    batch: str
    state: str


@dataclasses.dataclass(frozen=True, kw_only=True)
class Found:
    """The fleet's claims; ``unseen`` is how many other certificates were not looked into for leftovers."""

    claims: Sequence[Claim]
    unseen: int


def gather(aws: Aws, names: FleetNames, held: Holdings, *, everything: bool) -> Found:
    """Looks up what each claim is for, and finds certificates that have a claim's subject and no policy."""
    own = {certificate.arn for certificate in [*held.claims, *held.devices]}
    others = [
        certificate for certificate in held.certificates.values() if certificate.arn not in own
    ]
    looked = others if everything or len(others) <= _LOOKED_THROUGH else []
    batches = _batches(aws, names, [*held.claims, *looked])
    suspects = [certificate for certificate in looked if batches[certificate.arn]]
    attached = aws.ask_all(
        [
            aws.command("iot", "list-attached-policies", "--target", certificate.arn)
            for certificate in suspects
        ]
    )
    leftovers = [
        certificate
        for certificate, answer in zip(suspects, attached, strict=True)
        if not entries(answer, "policies")
    ]
    return Found(
        claims=[
            *(_claim(certificate, batches[certificate.arn]) for certificate in held.claims),
            *(
                Claim(certificate=certificate, batch=batches[certificate.arn], state="leftover")
                for certificate in leftovers
            ),
        ],
        unseen=len(others) - len(looked),
    )


def pick(found: Sequence[Claim], given: Sequence[str]) -> list[Claim]:
    """Returns the claims whose ids begin so.

    Raises:
        UsageError: One begins no claim's id, or several.
    """
    certificates = [claim.certificate for claim in found]
    picked = inventory.pick(certificates, given, "claim list", "claim")
    return [found[certificates.index(certificate)] for certificate in picked]


def batch_of(pem: str, names: FleetNames) -> str:
    """Returns the batch out of a claim's subject, as ``claim new`` writes it; empty for another subject."""
    body = "".join(line for line in pem.splitlines() if line and not line.startswith("-----"))
    try:
        der = base64.b64decode(body)
    except binascii.Error:
        return ""
    beginning = f"{names.fleet} claim ".encode()
    # A name in DER: UTF8String or PrintableString, one octet of length, the text.
    for found in re.finditer(rb"[\x0c\x13](.)" + re.escape(beginning), der, re.DOTALL):
        value = der[found.start() + 2 : found.start() + 2 + found[1][0]]
        return value.removeprefix(beginning).decode("ascii", "replace")
    return ""


def _claim(certificate: Certificate, batch: str) -> Claim:
    states = {ACTIVE: "active", "INACTIVE": "revoked"}
    state = states.get(certificate.status, certificate.status.lower())
    return Claim(certificate=certificate, batch=batch, state=state)


def _batches(aws: Aws, names: FleetNames, certificates: Sequence[Certificate]) -> dict[str, str]:
    described = aws.ask_all(
        [
            aws.command("iot", "describe-certificate", "--certificate-id", certificate.identifier)
            for certificate in certificates
        ],
        "checking certificates",
    )
    return {
        certificate.arn: batch_of(_pem(answer), names)
        for certificate, answer in zip(certificates, described, strict=True)
    }


def _pem(answer: Answer | None) -> str:
    return text(answer, "certificateDescription", "certificatePem") if answer else ""
