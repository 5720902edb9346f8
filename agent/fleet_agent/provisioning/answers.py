"""Reads AWS IoT's answers and checks their size, shape and key before anything of them is kept.

No answer is logged or quoted: it holds keys and ownership tokens.
"""

import dataclasses
import re
from collections.abc import Callable, Iterable
from typing import Any

from fleet_agent import foreign
from fleet_agent.credentials import certificates, keys
from fleet_agent.credentials.model import Credential, Csr, Secret
from fleet_agent.errors import ANSWER_UNFIT, DeviceError, UnreachableError
from fleet_agent.provisioning.model import Operation, RejectedError
from fleet_agent.record import record
from fleet_agent.topics.template import fill

_THING_NAME = re.compile(r"[A-Za-z0-9:_-]{1,128}")  # AWS IoT's own rule

# AWS IoT carries 128 KiB; a longer answer is still searched for the certificate's id, within reason.
_MAX_PAYLOAD = 4 * 1024 * 1024  # bytes
_MAX_TEXT = 16 * 1024  # bytes of a PEM or an ownership token; AWS's are below 2 KiB
_MAX_CONFIGURATION = 128 * 1024  # bytes


@record
class Certificate:
    """An issued certificate; ``private_key`` only from CreateKeysAndCertificate."""

    certificate_id: str
    pem: str
    ownership_token: Secret
    private_key: Secret | None


class UnusableAnswerError(UnreachableError):
    """An answer that cannot be used; ``certificate_id`` if it names a certificate, which exists then."""

    certificate_id: str | None = None


def _unusable(operation: Operation, why: str) -> UnusableAnswerError:
    return UnusableAnswerError(
        f"The answer to {operation.value} cannot be used: {why}.",
        remedy="The agent asks again over a new connection.",
        code="answer-invalid",
    )


def _object(payload: bytes, operation: Operation) -> dict[str, Any]:
    if len(payload) > _MAX_PAYLOAD:
        raise _unusable(operation, f"it has {len(payload)} bytes")
    try:
        value = foreign.read(payload)
    except ValueError:
        raise _unusable(operation, "it is not JSON") from None  # the text may hold a key
    if not isinstance(value, dict):
        raise _unusable(operation, "it is not a JSON object")
    return value


def parsed(model: Any, payload: bytes, operation: Operation) -> Any:  # noqa: ANN401 - the SDK has no types
    """The JSON object of an answer, as the SDK's model of it."""
    return model.from_payload(_object(payload, operation))


def rejection(operation: Operation, payload: bytes) -> RejectedError:
    """The answer with which AWS refused a request."""
    from awsiot import iotidentity

    model = parsed(iotidentity.ErrorResponse, payload, operation)
    status = model.status_code
    is_number = isinstance(status, int) and not isinstance(status, bool)
    return RejectedError(
        operation,
        status if is_number else None,
        _short(model.error_code),
        _short(model.error_message),
    )


def _short(value: object) -> str:
    """Text from the network for people: printable and of limited length."""
    text = value if isinstance(value, str) else ""
    return "".join(letter if letter.isprintable() else " " for letter in text[:300]).strip()


def certificate(model: Any, operation: Operation) -> Certificate:  # noqa: ANN401
    """The issued certificate; the error of an unusable answer has the certificate's id if it names one."""
    certificate_id = _text(model.certificate_id, "certificateId", operation)
    if not (certificate_id.isascii() and certificate_id.isalnum() and len(certificate_id) <= 128):  # noqa: PLR2004
        raise _unusable(operation, "its certificateId is not an identifier")
    try:
        private_key = None
        if operation is Operation.CREATE_KEYS:
            private_key = Secret(_text(model.private_key, "privateKey", operation))
        ownership_token = _text(
            model.certificate_ownership_token, "certificateOwnershipToken", operation
        )
        return Certificate(
            certificate_id=certificate_id,
            pem=_text(model.certificate_pem, "certificatePem", operation),
            ownership_token=Secret(ownership_token),
            private_key=private_key,
        )
    except UnusableAnswerError as error:
        error.certificate_id = certificate_id
        raise


def _text(value: object, field: str, operation: Operation) -> str:
    if not isinstance(value, str) or not value:
        raise _unusable(operation, f"it has no {field}")
    if _encodable(value) != value:
        raise _unusable(operation, f"its {field} is not text")
    if len(value) > _MAX_TEXT:
        raise _unusable(operation, f"its {field} has {len(value)} characters")
    return value


def _encodable(text: str) -> str:
    """JSON may hold half a surrogate pair, which can be neither written nor sent nor printed."""
    return text.encode(errors="replace").decode()


def registration(model: Any) -> tuple[str | None, dict[str, str]]:  # noqa: ANN401
    """The thing's name, and the device configuration."""
    name = model.thing_name or None
    configuration = model.device_configuration or {}
    if name is not None and not (isinstance(name, str) and _THING_NAME.fullmatch(name)):
        raise _unusable(Operation.REGISTER, "its thingName is not a thing name")
    if not isinstance(configuration, dict):
        raise _unusable(Operation.REGISTER, "its deviceConfiguration is not an object")
    texts = {_encodable(str(key)): _encodable(str(value)) for key, value in configuration.items()}
    if sum(len(text) for item in texts.items() for text in item) > _MAX_CONFIGURATION:
        raise _unusable(Operation.REGISTER, "its deviceConfiguration is too long")
    return name, texts


def checked(certificate: Certificate, csr: Csr | None) -> Certificate | None:
    """Checks a certificate: returns it as parsed, ours first, then its CA's; None: none is for our key.

    Raises:
        UnusableAnswerError: It is no certificate.
    """
    try:
        pem = certificates.chain(certificate.pem, csr.public_key if csr else None, "the answer")
    except DeviceError:
        operation = Operation.CREATE_FROM_CSR if csr else Operation.CREATE_KEYS
        error = _unusable(operation, "its certificatePem is not a certificate")
        error.certificate_id = certificate.certificate_id
        raise error from None
    parsed = dataclasses.replace(certificate, pem=pem)
    return parsed if _is_for(parsed, csr) else None


def _is_for(certificate: Certificate, csr: Csr | None) -> bool:
    """Whether a certificate is for our key: the CSR's, or the one that came with it."""
    try:
        theirs = certificates.public_key_of_certificate(certificate.pem, "the answer")
        if csr is not None:
            return csr.public_key == theirs
        if certificate.private_key is None:
            return False
        return keys.signs_for(certificate.private_key, theirs, "the answer")
    except DeviceError:  # no key at all: AWS's fault, not the device's
        return False


def check_topics(
    credential: Credential,
    topics: Iterable[tuple[str, str]],
    parameters: Callable[[str], str | None],
) -> None:
    """Makes sure that no value of the device configuration makes a topic impossible.

    Args:
        credential: As the answer would have it.
        topics: Every template of a topic or filter, with what ``{source}`` stands for in it.
        parameters: Template parameters by name.

    Raises:
        UnreachableError: One does; names the template.
    """
    for template, source in topics:
        used = [name for name in credential.device_configuration if f"{{{name}}}" in template]
        if not used:
            continue
        try:
            fill(template, credential.topic_values, source, parameters)
        except DeviceError as error:
            raise UnreachableError(
                f"The device configuration in RegisterThing's answer cannot be used: {error.title}",
                remedy=f"Change {', '.join(used)} in the template's DeviceConfiguration, or the topic here; then "
                "the agent calls RegisterThing again.",
                code=ANSWER_UNFIT,
            ) from error
