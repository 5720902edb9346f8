"""What a command carries to the device: its own payload, or a template with parameters filled in. Pure."""

import base64
import binascii
import json
import re
from dataclasses import dataclass
from typing import Any

from iot_sandbox import cbor

LONGEST_PAYLOAD = 32 * 1024
LONGEST_TEMPLATE = 32_768
_PLACE = re.compile(
    r"\$\{aws:iot:commandexecution::(?:parameter:(?P<name>[.$a-zA-Z0-9_-]{1,192})|(?P<time>executionTimeoutSec))\}"
)
_CONTENT_TYPE = re.compile(r"[!#$%&'*+.^_`|~0-9a-zA-Z-]+/[^\s]+(?: ?; ?[^\s]+)*")
_OUTPUTS = {"JSON": "application/json", "CBOR": "application/cbor"}
# How a parameter's type is named in a command, and its value in a request.
_TYPES = {
    "STRING": "S", "BOOLEAN": "B", "INTEGER": "I", "LONG": "L", "DOUBLE": "D", "BINARY": "BIN", "UNSIGNEDLONG": "UL",
}  # fmt: skip

Document = dict[str, Any]


class CommandError(Exception):
    """A command, or an execution, that AWS would not accept; says why."""


@dataclass(frozen=True)
class Payload:
    """What goes to the device."""

    content: bytes
    content_type: str

    @property
    def suffix(self) -> str:
        """How the request's topic ends: by the content type, if that is one of two."""
        kinds = {"application/json": "/json", "application/cbor": "/cbor"}
        return kinds.get(self.content_type.partition(";")[0].strip().lower(), "")


def check(request: Document) -> None:
    """Judges what a command is made with.

    Raises:
        CommandError: it has no payload, two, or one that is not accepted.
    """
    payload, template = request.get("payload"), request.get("payloadTemplate")
    if (payload is None) is (template is None):
        raise CommandError("A command has a payload or a payloadTemplate, and not both")
    if template is None:
        _static(request)
        if request.get("mandatoryParameters"):
            raise CommandError("Parameters need a payloadTemplate")
        return
    if len(template) > LONGEST_TEMPLATE or not _PLACE.search(template):
        raise CommandError("A payloadTemplate has 32768 characters at most, and a placeholder")
    _output(request)
    try:
        json.loads(template)
    except ValueError as error:
        raise CommandError("A payloadTemplate is JSON") from error
    known = {parameter["name"] for parameter in request.get("mandatoryParameters", [])}
    unknown = {found["name"] for found in _PLACE.finditer(template)} - known - {None}
    if unknown:
        raise CommandError(f"No mandatoryParameters for {', '.join(sorted(unknown))}")


def filled(request: Document, given: Document, timeout: int) -> Payload:
    """Returns what a command carries for one execution.

    Raises:
        CommandError: a parameter is missing, unknown, or of another type.
    """
    parameters = {each["name"]: each for each in request.get("mandatoryParameters", [])}
    if unknown := sorted(set(given) - set(parameters)):
        raise CommandError(f"The command has no parameter {', '.join(unknown)}")
    template = request.get("payloadTemplate")
    if template is None:
        return _static(request)
    values = {name: _value(parameter, given.get(name)) for name, parameter in parameters.items()}
    document = _substituted(json.loads(template), values, timeout)
    content_type = _output(request)
    is_cbor = content_type == _OUTPUTS["CBOR"]
    content = cbor.dumps(document) if is_cbor else json.dumps(document).encode()
    return Payload(content, content_type)


def _static(request: Document) -> Payload:
    payload = request["payload"]
    try:
        content = base64.b64decode(payload.get("content", ""), validate=True)
    except (binascii.Error, ValueError) as error:
        raise CommandError("payload.content is base64") from error
    if len(content) > LONGEST_PAYLOAD:
        raise CommandError("A payload has 32 KB at most")
    content_type = payload.get("contentType", "application/octet-stream")
    if not _CONTENT_TYPE.fullmatch(content_type):
        raise CommandError("payload.contentType is TYPE/SUBTYPE")
    return Payload(content, content_type)


def _output(request: Document) -> str:
    substitution = request.get("preprocessor", {}).get("awsJsonSubstitution", {})
    if substitution.get("outputFormat") not in _OUTPUTS:
        raise CommandError("A payloadTemplate needs preprocessor.awsJsonSubstitution.outputFormat")
    return _OUTPUTS[substitution["outputFormat"]]


def _value(parameter: Document, given: Document | None) -> object:
    name, wanted = parameter["name"], _TYPES.get(parameter.get("type", "STRING"))
    chosen = given or parameter.get("value") or parameter.get("defaultValue")
    if chosen is None:
        raise CommandError(f"The parameter {name} has no value")
    if wanted is None or set(chosen) != {wanted}:
        raise CommandError(f"The parameter {name} is a {parameter.get('type', 'STRING')}")
    value = chosen[wanted]
    return int(value) if wanted == "UL" else value


def _substituted(node: object, values: Document, timeout: int) -> object:
    if isinstance(node, dict):
        return {key: _substituted(each, values, timeout) for key, each in node.items()}
    if isinstance(node, list):
        return [_substituted(each, values, timeout) for each in node]
    if not isinstance(node, str):
        return node
    if whole := _PLACE.fullmatch(node):
        return timeout if whole["time"] else values[whole["name"]]
    return _PLACE.sub(lambda found: str(timeout if found["time"] else values[found["name"]]), node)
