"""What a device may say of a command's execution: its update read and judged, and what is answered. Pure."""

import base64
import binascii
import json
import re
from dataclasses import dataclass, field
from typing import Any

from iot_sandbox import cbor

RESPONSE = re.compile(
    r"\$aws/commands/(?P<kind>things|clients)/(?P<target>[^/]+)"
    r"/executions/(?P<execution>[^/]+)/response/(?P<format>json|cbor)"
)
STATUSES = ("IN_PROGRESS", "SUCCEEDED", "FAILED", "REJECTED", "TIMED_OUT")
_REASON_CODE = re.compile(r"[A-Z0-9_-]{1,64}")
_RESULT_KEY = re.compile(r"[a-zA-Z0-9_-]{1,32}")
_LONGEST_DESCRIPTION = 1024
# Value types as a device writes them, and as the API shows them.
_TYPES = {"s": "S", "b": "B", "bin": "BIN"}


class UpdateError(Exception):
    """An update that is not accepted.

    Attributes:
        code: AWS's word for why.
    """

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


@dataclass(frozen=True)
class Update:
    """What a device says of an execution.

    Attributes:
        status: one of ``STATUSES``.
        reason: as ``GetCommandExecution`` shows it.
        result: likewise.
    """

    status: str
    reason: dict[str, str] | None = None
    result: dict[str, dict[str, Any]] = field(default_factory=dict)


def read_update(payload: bytes, form: str) -> tuple[dict[str, Any], Update]:
    """Reads an update: the document, and what it says.

    Raises:
        UpdateError: it is not within AWS's rules.
    """
    try:
        document = cbor.loads(payload) if form == "cbor" else json.loads(payload)
    except (ValueError, RecursionError) as error:
        raise UpdateError("InvalidJson", f"The payload is no {form.upper()}") from error
    if not isinstance(document, dict):
        raise UpdateError("InvalidJson", "The payload is no map")
    status = document.get("status")
    if status not in STATUSES:
        raise UpdateError("InvalidRequest", f"status is one of {', '.join(STATUSES)}")
    reason = document.get("statusReason")
    update = Update(status, None if reason is None else _reason(reason), _result(document, form))
    return document, update


def written(document: dict[str, Any], form: str) -> bytes:
    """Writes an answer."""
    return cbor.dumps(document) if form == "cbor" else json.dumps(document).encode()


def _reason(reason: object) -> dict[str, str]:
    if not isinstance(reason, dict) or set(reason) - {"reasonCode", "reasonDescription"}:
        raise UpdateError("InvalidRequest", "statusReason has reasonCode and reasonDescription")
    code, description = reason.get("reasonCode"), reason.get("reasonDescription")
    if not isinstance(code, str) or not _REASON_CODE.fullmatch(code):
        raise UpdateError("InvalidRequest", f"reasonCode is {_REASON_CODE.pattern}")
    if description is None:
        return {"reasonCode": code}
    is_text = isinstance(description, str) and 1 <= len(description) <= _LONGEST_DESCRIPTION
    if not is_text or not description.isprintable():
        raise UpdateError(
            "InvalidRequest", "reasonDescription has 1 to 1024 characters, none of control"
        )
    return {"reasonCode": code, "reasonDescription": description}


def _result(document: dict[str, Any], form: str) -> dict[str, dict[str, Any]]:
    if "result" not in document:
        return {}
    result = document["result"]
    if not isinstance(result, dict) or not result:
        raise UpdateError("InvalidRequest", "result has an entry at least")
    found = {}
    for key, value in result.items():
        if not isinstance(key, str) or not _RESULT_KEY.fullmatch(key):
            raise UpdateError("InvalidRequest", f"a key of result is {_RESULT_KEY.pattern}")
        found[key] = _value(key, value, form)
    return found


def _value(key: str, value: object, form: str) -> dict[str, Any]:
    match value:
        case {"s": str(text), **others} if text and not others:
            return {"S": text}
        case {"b": bool(flag), **others} if not others:
            return {"B": flag}
        case {"bin": bytes(raw), **others} if form == "cbor" and raw and not others:
            return {"BIN": base64.b64encode(raw).decode()}
        case {"bin": str(text), **others} if form == "json" and _is_base64(text) and not others:
            return {"BIN": text}
        case _:
            kinds = ", ".join(_TYPES)
            raise UpdateError("InvalidRequest", f"result.{key} is one of {kinds}, not empty")


def _is_base64(text: str) -> bool:
    try:
        return bool(base64.b64decode(text, validate=True))
    except binascii.Error:
        return False
