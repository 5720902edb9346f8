"""Checks a template body before AWS sees it: AWS reports one fault at a time, and some only to a device. Pure."""

from collections.abc import Iterator, Mapping

from fleet_cloud.aws.names import CLAIM_CLIENT_PREFIX
from fleet_cloud.local.json_text import parsed, shallow
from fleet_cloud.plan import documents

_CERTIFICATE_ID = "AWS::IoT::Certificate::Id"
_SECTIONS = {"Parameters", "Resources", "Mappings", "DeviceConfiguration"}
_FUNCTIONS = {"Fn::Join", "Fn::Select", "Fn::FindInMap", "Fn::Split", "Fn::Sub"}
_TYPES = {"AWS::IoT::Thing", "AWS::IoT::Certificate", "AWS::IoT::Policy"}


class _TwiceError(ValueError):
    """A key appears twice in one object; Python would silently take the last."""


def read(text: str) -> tuple[Mapping[str, object] | None, list[str]]:
    """Returns a body, or nothing when it cannot be read, and everything that is wrong with its text."""
    try:
        body = shallow(parsed(text, _once))
    except ValueError as error:
        return None, [f"it is not JSON: {error}"]
    if not isinstance(body, dict):
        return None, ["it is not a JSON object"]
    size = len(documents.compact(body))
    limit = documents.TEMPLATE_CHARACTERS
    return body, [f"it has {size} characters without white space; AWS allows {limit}"] * (
        size > limit
    )


def problems(body: Mapping[str, object], *, allow_wildcard: bool) -> list[str]:
    """Returns everything that is wrong with a body, in the order of its sections."""
    parameters = body.get("Parameters", {})
    declared = {*parameters} if isinstance(parameters, Mapping) else set()
    found = [
        f"section {name!r} is not one of {', '.join(sorted(_SECTIONS))}"
        for name in {*body} - _SECTIONS
    ]
    found += _parameters(parameters)
    found += _resources(body.get("Resources"), allow_wildcard=allow_wildcard)
    found += _calls({key: value for key, value in body.items() if key != "Mappings"}, declared, "")
    if any("Fn::" in key or key == "Ref" for key in _keys(body.get("Mappings"))):
        found.append("Mappings: functions and Ref do not work there")
    configuration = body.get("DeviceConfiguration", {})
    if not isinstance(configuration, Mapping):
        found.append("DeviceConfiguration is not an object")
    else:
        found += [
            f"DeviceConfiguration.{key}: nested objects and lists are not allowed there"
            for key, value in configuration.items()
            if isinstance(value, list) or (isinstance(value, Mapping) and not _is_call(value))
        ]
    return found


def policy_problems(document: Mapping[str, object], *, allow_wildcard: bool) -> list[str]:
    """Returns everything that keeps a document from being a policy of AWS IoT, or that makes it dangerous."""
    statements = _listed(document.get("Statement"))
    found = [] if document.get("Version") == "2012-10-17" else ['Version: is not "2012-10-17"']
    for number, statement in enumerate(statements):
        at = f"Statement[{number}]"
        if not isinstance(statement, Mapping):
            found.append(f"{at}: is not an object")
            continue
        if statement.get("Effect") not in {"Allow", "Deny"}:
            found.append(f"{at}.Effect: is neither Allow nor Deny")
        found += [
            f"{at}.{key}: is missing" for key in ("Action", "Resource") if key not in statement
        ]
        if not allow_wildcard:
            found += _wide(at, statement)
    size = len(documents.compact(document))
    if size > documents.POLICY_CHARACTERS:
        found.append(f"it has {size} characters; AWS allows {documents.POLICY_CHARACTERS}")
    return found


def _once(pairs: list[tuple[str, object]]) -> dict[str, object]:
    made = dict(pairs)
    if len(made) != len(pairs):
        names = [key for key, _ in pairs]
        raise _TwiceError(
            f"{next(key for key in names if names.count(key) > 1)!r} appears twice in one object"
        )
    return made


def _parameters(parameters: object) -> Iterator[str]:
    if not isinstance(parameters, Mapping):
        yield "Parameters is not an object"
        return
    for name, value in parameters.items():
        if not isinstance(value, Mapping) or value.get("Type") != "String":
            yield f'Parameters.{name}: must be {{"Type": "String"}}, perhaps with a "Default"'
        elif not isinstance(value.get("Default", ""), str):
            yield f"Parameters.{name}.Default: must be a string"


def _resources(resources: object, *, allow_wildcard: bool) -> Iterator[str]:
    if not isinstance(resources, Mapping) or not resources:
        yield "Resources: must have at least a certificate"
        return
    certificates = 0
    for name, resource in resources.items():
        at = f"Resources.{name}"
        kind = resource.get("Type") if isinstance(resource, Mapping) else None
        if not isinstance(kind, str) or kind not in _TYPES:
            yield f"{at}: its Type must be one of {', '.join(sorted(_TYPES))}"
            continue
        found = resource.get("Properties")
        properties = found if isinstance(found, Mapping) else {}
        certificates += kind == "AWS::IoT::Certificate"
        if kind == "AWS::IoT::Certificate":
            yield from _certificate(at, properties)
        elif kind == "AWS::IoT::Policy":
            yield from _policy(at, properties, allow_wildcard=allow_wildcard)
        elif "ThingName" not in properties:
            yield f"{at}: has no ThingName"
        elif _beginning(properties["ThingName"]).startswith(CLAIM_CLIENT_PREFIX):
            yield f"{at}: its ThingName begins with {CLAIM_CLIENT_PREFIX}, as the client ids of claims do"
    if certificates != 1:
        yield f"Resources: must have one AWS::IoT::Certificate, but there are {certificates}"


def _certificate(at: str, properties: Mapping[str, object]) -> Iterator[str]:
    if properties.get("CertificateId") != {"Ref": _CERTIFICATE_ID}:
        yield f'{at}: CertificateId must be {{"Ref": "{_CERTIFICATE_ID}"}}'
    for other in ("CertificateSigningRequest", "CertificatePem", "CACertificatePem"):
        if other in properties:
            yield f"{at}: {other} does not work in a fleet's template, only CertificateId"


def _policy(at: str, properties: Mapping[str, object], *, allow_wildcard: bool) -> Iterator[str]:
    if ("PolicyName" in properties) == ("PolicyDocument" in properties):
        yield f"{at}: must have either PolicyName or PolicyDocument"
    document = properties.get("PolicyDocument")
    if isinstance(document, str):
        try:
            document = parsed(document)
        except ValueError as error:
            yield f"{at}.PolicyDocument: is not JSON: {error}"
    if not allow_wildcard and isinstance(document, Mapping):
        for number, statement in enumerate(_listed(document.get("Statement"))):
            yield from _wide(f"{at}.PolicyDocument.Statement[{number}]", statement)


def _wide(at: str, statement: object) -> Iterator[str]:
    if not isinstance(statement, Mapping) or statement.get("Effect") != "Allow":
        return
    for key, too_wide in (("Action", ("*", "iot:*")), ("Resource", ("*",))):
        for value in _listed(statement.get(key)):
            if value in too_wide:
                yield (
                    f"{at}.{key}: {value!r} lets one device act as every device; list what it needs, "
                    "or add --allow-wildcard-policy"
                )


def _calls(value: object, declared: set[str], at: str) -> Iterator[str]:
    """Yields what is wrong with the calls of functions anywhere below."""
    if isinstance(value, list):
        for number, entry in enumerate(value):
            yield from _calls(entry, declared, f"{at}[{number}]")
    if not isinstance(value, Mapping):
        return
    for key, entry in value.items():
        if key.startswith("Fn::") and key not in _FUNCTIONS:
            yield f"{at}: {key} is not one of {', '.join(sorted(_FUNCTIONS))} and Ref"
        if key == "Ref" and len(value) == 1 and entry not in {*declared, _CERTIFICATE_ID}:
            yield f"{at}: Ref to {entry!r}, which Parameters does not declare"
        yield from _calls(entry, declared, f"{at}.{key}" if at else key)


def _beginning(name: object) -> str:
    """Returns what a name begins with, as far as it is literal."""
    if isinstance(name, Mapping):
        joined = name.get("Fn::Join")
        if isinstance(joined, list) and len(joined) == 2 and isinstance(joined[1], list):  # noqa: PLR2004 - its shape
            return _beginning(joined[1][0] if joined[1] else "")
    return name if isinstance(name, str) else ""


def _is_call(value: Mapping[str, object]) -> bool:
    return len(value) == 1 and all(key == "Ref" or key.startswith("Fn::") for key in value)


def _keys(value: object) -> Iterator[str]:
    if isinstance(value, Mapping):
        for key, entry in value.items():
            yield key
            yield from _keys(entry)
    elif isinstance(value, list):
        for entry in value:
            yield from _keys(entry)


def _listed(value: object) -> list[object]:
    return value if isinstance(value, list) else [value]
