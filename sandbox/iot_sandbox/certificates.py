"""Certificates and their ownership tokens, made with ministack's own CA and kept in its registry."""

import secrets
import time
from typing import Any

from iot_sandbox import ground
from iot_sandbox.provider import Provider

CSR_MAX_CHARACTERS = 4096


class CsrError(ValueError):
    """A certificate signing request AWS would not sign."""


def from_csr(
    scope: tuple[str, str], csr: object, provider: Provider | None = None
) -> dict[str, str]:
    """Make a certificate over a CSR's public key, PENDING_ACTIVATION, with an ownership token of one hour.

    Args:
        scope: account id and region.
        csr: PEM text.
        provider: who signs; by default AWS.

    Returns:
        The accepted answer of CreateCertificateFromCsr.

    Raises:
        CsrError: no text, too long, no CSR, a bad signature or a weak key.
    """
    if not isinstance(csr, str) or not csr.strip():
        raise CsrError("certificateSigningRequest cannot be empty.")
    if len(csr) > CSR_MAX_CHARACTERS:
        raise CsrError(
            f"certificateSigningRequest is longer than {CSR_MAX_CHARACTERS} characters."
        )
    try:
        pem = (provider or Provider()).sign(csr)
    except ValueError as error:
        raise CsrError(f"CSR violates constraints: {error}") from error
    return {"certificatePem": pem, **_register(scope, pem)}


def over_another_key(scope: tuple[str, str]) -> dict[str, str]:
    """Make a certificate over a key nobody has; shaped like ``from_csr``'s answer."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    csr = (
        x509.CertificateSigningRequestBuilder()
        .subject_name(x509.Name([]))
        .sign(key, hashes.SHA256())
    )
    return from_csr(scope, csr.public_bytes(serialization.Encoding.PEM).decode())


def _register(scope: tuple[str, str], pem: str) -> dict[str, str]:
    certificate_id = ground.get_certificate_id(pem)
    token = secrets.token_urlsafe(48)
    with ground.request_scope(*scope):
        record = ground.certificate_record(certificate_id, pem, "PENDING_ACTIVATION")
        ground.certificates[certificate_id] = record
        ground.ownership_tokens[token] = {
            "certificateId": certificate_id,
            "expiration": time.time() + ground.OWNERSHIP_TOKEN_SECONDS,
        }
    return {"certificateId": certificate_id, "certificateOwnershipToken": token}


def status_behind(scope: tuple[str, str], token: object) -> str | None:
    """Give the status of the certificate a token stands for; None for an unknown token."""
    with ground.request_scope(*scope):
        record = ground.ownership_tokens.get(token) if isinstance(token, str) else None
        certificate = ground.certificates.get(record["certificateId"]) if record else None
    return certificate["status"] if certificate else None


def certificate_behind(scope: tuple[str, str], token: object) -> str | None:
    """Give the id of the certificate a token stands for; None for an unknown token."""
    with ground.request_scope(*scope):
        record = ground.ownership_tokens.get(token) if isinstance(token, str) else None
    return record["certificateId"] if record else None


def forget_expired(now: float | None = None) -> list[str]:
    """Drop expired ownership tokens, and with each the certificate that was never activated or attached.

    Args:
        now: seconds since 1970; by default the clock's.

    Returns:
        The ids of the certificates deleted.
    """
    moment = time.time() if now is None else now
    tokens = ground.every_scope(ground.ownership_tokens)
    registry = ground.every_scope(ground.certificates)
    deleted = []
    for (account, region, token), record in list(tokens.items()):
        if record["expiration"] > moment:
            continue
        del tokens[account, region, token]
        key = (account, region, record["certificateId"])
        certificate = registry.get(key)
        if certificate and _is_unused(certificate):
            del registry[key]
            deleted.append(record["certificateId"])
    return deleted


def _is_unused(certificate: dict[str, Any]) -> bool:
    attached = certificate["attachedThings"] or certificate["attachedPolicies"]
    return certificate["status"] == "PENDING_ACTIVATION" and not attached
