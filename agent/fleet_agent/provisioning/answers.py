"""AWS IoT's answers, read and checked before anything of them is kept: size, shape, and whose they are.

No answer is logged or quoted: it holds keys and tokens.
"""

import dataclasses
import json
import re
from typing import Any

from fleet_agent.credentials.model import Secret
from fleet_agent.errors import UnreachableError
from fleet_agent.provisioning.model import Operation, RejectedError

_THING_NAME = re.compile(r"[A-Za-z0-9:_-]{1,128}")  # AWS IoT's own rule


@dataclasses.dataclass(frozen=True, kw_only=True)
class Certificate:
    """An issued certificate; ``private_key`` only from CreateKeysAndCertificate."""

    certificate_id: str
    pem: str
    token: Secret
    private_key: Secret | None


class UnusableAnswerError(UnreachableError):
    """An answer came that nothing can be done with; ``certificate_id`` when it named one, which exists then."""

    certificate_id: str | None = None


def _unusable(operation: Operation, why: str) -> UnusableAnswerError:
    return UnusableAnswerError(
        f"The answer to {operation.value} cannot be used: {why}.",
        remedy="It is asked again over a new connection.",
        code="answer-invalid",
    )


def _object(payload: bytes, operation: Operation) -> dict[str, Any]:
    try:
        value = json.loads(payload)
    except (ValueError, RecursionError):
        raise _unusable(operation, "it is no JSON") from None  # the text may hold a key
    if not isinstance(value, dict):
        raise _unusable(operation, "it is no JSON object")
    return value


def parsed(model: Any, payload: bytes, operation: Operation) -> Any:  # noqa: ANN401 - the SDK has no types
    """The JSON object of an answer, as the SDK's model of it."""
    return model.from_payload(_object(payload, operation))


def rejection(operation: Operation, payload: bytes) -> RejectedError:
    """What AWS said no with."""
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
    """Text from the network for a person's eyes: printable and not endless."""
    text = value if isinstance(value, str) else ""
    return "".join(letter if letter.isprintable() else " " for letter in text[:300]).strip()


def certificate(model: Any, operation: Operation) -> Certificate:  # noqa: ANN401
    """An issued certificate; of an answer that cannot be used, the error has the certificate's id if it named one."""
    certificate_id = _text(model.certificate_id, "certificateId", operation)
    if not (certificate_id.isascii() and certificate_id.isalnum() and len(certificate_id) <= 128):  # noqa: PLR2004
        raise _unusable(operation, "its certificateId is no identifier")
    try:
        private_key = None
        if operation is Operation.CREATE_KEYS:
            private_key = Secret(_text(model.private_key, "privateKey", operation))
        token = _text(model.certificate_ownership_token, "certificateOwnershipToken", operation)
        return Certificate(
            certificate_id=certificate_id,
            pem=_text(model.certificate_pem, "certificatePem", operation),
            token=Secret(token),
            private_key=private_key,
        )
    except UnusableAnswerError as error:
        error.certificate_id = certificate_id
        raise


def _text(value: object, field: str, operation: Operation) -> str:
    if not isinstance(value, str) or not value:
        raise _unusable(operation, f"it has no {field}")
    if _encodable(value) != value:
        raise _unusable(operation, f"its {field} is no text")
    return value


def _encodable(text: str) -> str:
    """JSON may hold half a surrogate pair, which can be neither written nor sent nor printed."""
    return text.encode(errors="replace").decode()


def registration(model: Any) -> tuple[str | None, dict[str, str]]:  # noqa: ANN401
    """The thing's name, and the device configuration."""
    name = model.thing_name or None
    configuration = model.device_configuration or {}
    if name is not None and not (isinstance(name, str) and _THING_NAME.fullmatch(name)):
        raise _unusable(Operation.REGISTER, "its thingName is no name of a thing")
    if not isinstance(configuration, dict):
        raise _unusable(Operation.REGISTER, "its deviceConfiguration is no object")
    return name, {
        _encodable(str(key)): _encodable(str(value)) for key, value in configuration.items()
    }
