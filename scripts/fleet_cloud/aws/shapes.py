"""What the flags of an ``aws`` command mean, by the model of the operation: the CLI's rules, as far as they are used.

The models are botocore's, and so the CLI's own.
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from botocore import xform_name

from fleet_cloud.aws.call import Parameters
from fleet_cloud.local.json_text import parsed

# What the CLI names differently from the model.
_SERVICES = {"s3api": "s3"}
_RENAMED = {"notification-endpoint": "endpoint"}
# A flag for something that the model has inside another parameter.
_INSIDE = {"zip-file": ("Code", "ZipFile")}
# The CLI's own additions: which part of the answer it prints, and which goes into a file.
QUERY = "query"
OUTFILES = {"certificate-pem-outfile": "certificatePem"}

_FILE = "fileb://"


def service(name: str) -> str:
    """Returns what botocore calls a service of the CLI."""
    return _SERVICES.get(name, name)


def arguments(model: Any, given: Parameters, values: Mapping[str, str]) -> dict[str, Any]:  # noqa: ANN401 - botocore's own
    """Returns what botocore is to be given.

    Args:
        model: The operation's.
        given: The parameters.
        values: Of variables.

    Raises:
        ValueError: The operation takes no such parameter, or it cannot be read.
    """
    shapes = model.input_shape.members if model.input_shape else {}
    members = {xform_name(member, "-"): member for member in shapes}
    found = {}
    for flag, words in given:
        if flag == QUERY or flag in OUTFILES:
            continue
        name = _RENAMED.get(flag, flag)
        texts = [word if isinstance(word, str) else values[word.name] for word in words]
        member = members.get(name)
        if member is not None:
            found[member] = _value(shapes[member], texts, flag)
        elif name in _INSIDE and _INSIDE[name][0] in shapes:
            outer, inner = _INSIDE[name]
            found[outer] = {inner: _value(shapes[outer].members[inner], texts, flag)}
        elif not texts and (member := members.get(name.removeprefix("no-"))) is not None:
            found[member] = False
        else:
            raise ValueError(f"Unknown options: --{flag}")
    return found


def _value(shape: Any, texts: Sequence[str], flag: str) -> Any:  # noqa: ANN401 - botocore's own
    if shape.type_name == "boolean" and not texts:
        return True
    if shape.type_name == "list" and not (texts and texts[0].startswith("[")):
        return [_scalar(shape.member, text) for text in texts]
    if len(texts) != 1:
        raise ValueError(f"argument --{flag}: expected one argument")
    return _scalar(shape, texts[0])


def _scalar(shape: Any, text: str) -> Any:  # noqa: ANN401 - botocore's own
    kind = shape.type_name
    if kind in {"integer", "long"}:
        return int(text)
    if kind == "boolean":
        return bool(json.loads(text))
    if kind == "blob":
        # A body is named directly, any other file with a prefix.
        return Path(text.removeprefix(_FILE)).read_bytes()
    if kind in {"structure", "map", "list"}:
        return parsed(text) if text.startswith(("{", "[")) else _shorthand(text)
    return text


def _shorthand(text: str) -> dict[str, str | bytes]:
    """Returns what ``Key=a,Value=b`` means, and ``Key@=fileb://FILE``."""
    pairs = [part.partition("=") for part in text.split(",")]
    if not all(key and equals for key, equals, _ in pairs):
        raise ValueError(f"Error parsing parameter: {text!r}")
    return {
        key.removesuffix("@"): Path(value.removeprefix(_FILE)).read_bytes()
        if key.endswith("@")
        else value
        for key, _, value in pairs
    }
