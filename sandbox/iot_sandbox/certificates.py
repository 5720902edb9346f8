"""Certificates and their ownership tokens, made with ministack's own CA and kept in its registry."""

import secrets
import time
from typing import Any

from iot_sandbox import ground
from iot_sandbox.provider import Provider

CSR_MAX_CHARACTERS = 4096
OWN_SUBJECT = "AWS IoT Certificate"


class CsrError(ValueError):
    """A certificate signing request AWS would not sign."""


def from_csr(
    scope: tuple[str, str],
    csr: object,
    provider: Provider | None = None,
    *,
    keeps_subject: bool = True,
) -> dict[str, str]:
    """Makes a certificate over a CSR's public key, PENDING_ACTIVATION, with an ownership token of one hour.

    Args:
        scope: account id and region.
        csr: PEM text.
        provider: who signs; by default AWS.
        keeps_subject: whether the certificate has the request's subject, rather than AWS's own.

    Returns:
        The accepted answer of CreateCertificateFromCsr.

    Raises:
        CsrError: not text, too long, not a CSR, a bad signature or a weak key.
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
    if not keeps_subject:
        pem = _with_own_subject(pem)
    return {"certificatePem": pem, **_register(scope, pem)}


def over_another_key(scope: tuple[str, str]) -> dict[str, str]:
    """Makes a certificate for a key that is thrown away; shaped like ``from_csr``'s answer."""
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


def _with_own_subject(pem: str) -> str:
    """Signs a certificate once more, with the subject of those whose key AWS makes."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization

    made = x509.load_pem_x509_certificate(pem.encode())
    _, ca_key = ground.ensure_ca()
    builder = x509.CertificateBuilder(
        issuer_name=made.issuer,
        subject_name=x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, OWN_SUBJECT)]),
        public_key=made.public_key(),
        serial_number=made.serial_number,
        not_valid_before=made.not_valid_before_utc,
        not_valid_after=made.not_valid_after_utc,
        extensions=list(made.extensions),
    )
    key: Any = serialization.load_pem_private_key(ca_key.encode(), password=None)
    signed = builder.sign(key, hashes.SHA256())
    return signed.public_bytes(serialization.Encoding.PEM).decode()


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
    """Returns the status of the certificate a token stands for; None for an unknown token."""
    with ground.request_scope(*scope):
        record = ground.ownership_tokens.get(token) if isinstance(token, str) else None
        certificate = ground.certificates.get(record["certificateId"]) if record else None
    return certificate["status"] if certificate else None


def certificate_behind(scope: tuple[str, str], token: object) -> str | None:
    """Returns the id of the certificate a token stands for; None for an unknown token."""
    with ground.request_scope(*scope):
        record = ground.ownership_tokens.get(token) if isinstance(token, str) else None
    return record["certificateId"] if record else None


def forget_expired(now: float | None = None) -> list[str]:
    """Drops expired ownership tokens, and with each the certificate that was never activated or attached.

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
