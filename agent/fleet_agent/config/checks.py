"""The rules for single strings: endpoint, proxy, topics, names.

Pure; each raises ``WrongValueError`` with the words for the user. A rule never quotes what may be
a secret, such as a proxy's user and password.
"""

import re
from collections.abc import Callable

from fleet_agent.config.shape import WrongValueError
from fleet_agent.process.listeners import MOST_PATH, too_long
from fleet_agent.topics.limits import Fault, filter_fault, topic_fault
from fleet_agent.topics.template import template_fault

TEMPLATE_PATTERN = r"^[0-9A-Za-z_-]{1,36}$"
THING_PATTERN = r"^[0-9A-Za-z:_-]{1,128}$"
ROLE_ALIAS_PATTERN = r"^[0-9A-Za-z_=,@-]{1,128}$"
HOST_PATTERN = r"^[0-9A-Za-z._:-]{1,253}$"
PROXY_PATTERN = r"^(none|http://[^/@]+:[0-9]{1,5}/?)$"

_HIGHEST_PORT = 65535

# Unicode's control characters, and the halves of surrogate pairs, which no UTF-8 can carry. Spelled out, since the
# module unicodedata would stay in the daemon's memory.
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff]")


def template_name(text: str) -> None:
    """Checks the name of a provisioning template."""
    if not re.fullmatch(TEMPLATE_PATTERN[1:-1], text):
        raise WrongValueError(
            "is not a template name: 1 to 36 of the characters 0-9 A-Z a-z _ -",
            "write only the name, as `aws iot list-provisioning-templates` shows it",
        )


def thing_name(text: str) -> None:
    """Checks the name of a thing."""
    if not re.fullmatch(THING_PATTERN[1:-1], text):
        raise WrongValueError(
            "is not a thing's name: 1 to 128 of the characters 0-9 A-Z a-z : _ -"
        )


def endpoint(text: str) -> None:
    """Checks the data endpoint's host name."""
    _endpoint(text)
    if ".credentials.iot." in text:
        raise WrongValueError(
            "is the credential provider's endpoint, which does not speak MQTT",
            "take it from `aws iot describe-endpoint --endpoint-type iot:Data-ATS`",
        )


def credentials_endpoint(text: str) -> None:
    """Checks the credentials endpoint's host name."""
    _endpoint(text)
    if "-ats.iot." in text:
        raise WrongValueError(
            "is the data endpoint, which does not provide credentials",
            "take it from `aws iot describe-endpoint --endpoint-type iot:CredentialProvider`",
        )


def _endpoint(text: str) -> None:
    """Checks a host name; a pasted URL or host:port is explained, as consoles hand those out."""
    if "://" in text:
        authority = re.split(r"[/?#]", text.partition("://")[2])[0]
        host = authority.rpartition("@")[2].partition(":")[0]
        raise WrongValueError("is a URL; only a host name is expected", f"write endpoint: {host}")
    if re.fullmatch(r"[0-9A-Fa-f:.]+", text) and text.count(":") > 1:
        _ip_address(text)
        return
    if (whole := text.strip().rstrip(".")) != text:
        _host(whole)
        # No server's certificate has the dot that DNS allows.
        raise WrongValueError("begins or ends with a space or a dot", f"write endpoint: {whole}")
    name, colon, rest = text.partition(":")
    if colon and rest.isdecimal():
        raise WrongValueError("contains a port", f"write endpoint: {name} and port: {rest}")
    if "/" in text:
        raise WrongValueError("contains a path", f"write endpoint: {text.partition('/')[0]}")
    _host(text)


def _ip_address(text: str) -> None:
    import ipaddress

    try:
        ipaddress.ip_address(text)
    except ValueError:
        raise WrongValueError("is neither a host name nor an address") from None


def _host(text: str) -> None:
    label = r"[0-9A-Za-z_]([0-9A-Za-z_-]{0,61}[0-9A-Za-z_])?"
    if len(text) > 253 or not re.fullmatch(rf"{label}(\.{label})*\.?", text):  # noqa: PLR2004 - RFC 1035's limit
        raise WrongValueError(
            "is not a host name",
            "take it from `aws iot describe-endpoint --endpoint-type iot:Data-ATS`",
        )


def proxy(text: str) -> None:
    """Checks a proxy: none, or http://host:port, without user and password: no secret in this file."""
    example = "write proxy: http://proxy.example.com:3128"
    if text == "none":
        return
    if "@" in text:
        raise WrongValueError(
            "contains a user or a password",
            "write user:password into a file, and name the file: proxy_credentials: FILE",
        )
    found = re.fullmatch(r"http://\[?([^/\[\]]+?)\]?:([0-9]{1,5})/?", text)
    if not found:
        raise WrongValueError("is not of the form http://host:port", example)
    if not 1 <= int(found[2]) <= _HIGHEST_PORT:
        raise WrongValueError(
            f"has the invalid port {found[2]}", "a port is a number from 1 to 65535"
        )
    if ":" in found[1]:
        _ip_address(found[1])
    else:
        _host(found[1])


def publish_topic(text: str) -> None:
    """Checks a topic to publish to, before its placeholders are filled in."""
    _template(text, topic_fault)


def topic_filter(text: str) -> None:
    """Checks a filter to subscribe to, before its placeholders are filled in."""
    _template(text, filter_fault)


def _template(text: str, fault_of: Callable[[str], Fault | None]) -> None:
    if fault := template_fault(text, fault_of):
        raise WrongValueError(fault.problem, fault.suggestion)


def token_label(text: str) -> None:
    """Checks the label of a PKCS#11 token, which Cryptoki keeps in 32 bytes."""
    _no_control_characters(text)
    if not 1 <= len(text.encode()) <= 32 or text != text.strip():  # noqa: PLR2004
        raise WrongValueError(
            "is not a hardware token's label: 1 to 32 bytes", "pkcs11-tool -L shows it"
        )


def key_label(text: str) -> None:
    """Checks the label of a key in a hardware token."""
    if not 1 <= len(text) <= 64:  # noqa: PLR2004 - longer ones are no help to anybody
        raise WrongValueError("is not a key's label: 1 to 64 characters")
    _no_control_characters(text)


def parameter_name(text: str) -> None:
    """Checks the name of a template parameter."""
    if not 1 <= len(text) <= 2048:  # noqa: PLR2004 - RegisterThing's limit
        raise WrongValueError("is not a parameter name: 1 to 2048 characters")
    _no_control_characters(text)


def parameter_value(text: str) -> None:
    """Checks the value of a template parameter, as RegisterThing takes it."""
    if len(text) > 4096:  # noqa: PLR2004 - RegisterThing's limit
        raise WrongValueError(f"has {len(text)} characters; AWS IoT allows 4096")
    _no_control_characters(text)


def literal_parameter(text: str) -> None:
    """Checks the value of a template parameter that somebody wrote down: an empty one makes devices of one name."""
    if not text.strip():
        raise WrongValueError("is empty", "write a value or a source")
    parameter_value(text)


def field_name(text: str) -> None:
    """Checks the name of a DMI field."""
    if not re.fullmatch(r"[a-z0-9_]{1,64}", text):
        raise WrongValueError(
            "is not a field of /sys/class/dmi/id", "write a name such as product_serial"
        )


def device_tree_name(text: str) -> None:
    """Checks the name of a device-tree property: relative, and going nowhere else."""
    if not re.fullmatch(
        r"[0-9A-Za-z,._+?#@-]+(/[0-9A-Za-z,._+?#@-]+)*", text
    ) or ".." in text.split("/"):
        raise WrongValueError(
            "is not a property of the device tree", "write a name such as serial-number"
        )


def interface_name(text: str) -> None:
    """Checks a network interface's name, by the kernel's own rules, or ``auto``."""
    if not re.fullmatch(r"[^\s/:]{1,15}", text) or text in {".", ".."}:
        raise WrongValueError(
            "is not an interface name",
            "write a name such as eth0, or auto for the first physical one",
        )


def variable_name(text: str) -> None:
    """Checks the name of an environment variable."""
    if not re.fullmatch(r"[A-Za-z_][0-9A-Za-z_]*", text):
        raise WrongValueError(
            "is not the name of an environment variable", "write only the name, without $"
        )


def program(text: str) -> None:
    """Checks the first word of a command: absolute, or found along PATH, never relative."""
    if not text:
        raise WrongValueError("is empty, a program's name is expected")
    if any(character.isspace() for character in text):
        raise WrongValueError(
            "contains white space, but no shell splits it into words",
            "write a list with one word in each entry: [cat, /etc/x]",
        )
    if "/" in text and not text.startswith("/"):
        raise WrongValueError(
            "is a relative path", "write the program's absolute path, or only its name"
        )


def command_word(text: str) -> None:
    """Checks one word of a command."""
    if "\0" in text:
        raise WrongValueError("contains a NUL character")


def part_name(text: str) -> None:
    """Checks the name of a source or a handler."""
    if not re.fullmatch(r"[0-9A-Za-z_.-]{1,64}", text):
        raise WrongValueError("is not a name: 1 to 64 of the characters 0-9 A-Z a-z _ . -")


def socket_path(text: str) -> None:
    """Checks the path of a Unix socket."""
    if too_long(text):
        raise WrongValueError(
            f"is longer than the path of a socket may be ({MOST_PATH} bytes)",
            "give the socket a shorter path",
        )


def helper_name(text: str) -> None:
    """Checks the name of a program that the helper starts."""
    if not re.fullmatch(r"[a-z][a-z0-9-]{0,62}", text):
        raise WrongValueError(
            "is not the name of a helper's program: a lower-case letter, then lower-case letters, digits and -"
        )


def operation(text: str) -> None:
    """Checks the name of an operation, as job documents and the payloads of commands have it."""
    if not 1 <= len(text) <= 256:  # noqa: PLR2004 - longer ones are no names
        raise WrongValueError("is not an operation: 1 to 256 characters")
    _no_control_characters(text)


def user(text: str) -> None:
    """Checks the name or number of a user or a group, or ``*``."""
    if not re.fullmatch(r"\*|[0-9]{1,10}|[A-Za-z_][0-9A-Za-z_.-]{0,31}\$?", text):
        raise WrongValueError(
            "is neither a name nor a number", "write, for example, meter or 1000"
        )


def allowed_user(text: str) -> None:
    """Checks who is allowed: ``user:`` and a name, a number or ``*``."""
    kind, colon, name = text.partition(":")
    if not colon or kind != "user":
        raise WrongValueError("does not name a user", "write, for example, user:collector")
    user(name)


def role_alias(text: str) -> None:
    """Checks the name of a role alias of AWS IoT."""
    if not re.fullmatch(ROLE_ALIAS_PATTERN[1:-1], text):
        raise WrongValueError(
            "is not a role alias: 1 to 128 letters, digits and _ = , @ -",
            "write the name as `aws iot list-role-aliases` shows it",
        )


def s3_place(text: str) -> None:
    """Checks a bucket of S3, with or without what a key begins with."""
    if not re.fullmatch(r"s3://[a-z0-9][a-z0-9.-]{1,61}[a-z0-9](/[^\x00-\x1f]*)?", text):
        raise WrongValueError("is not a place in S3", "write s3://BUCKET/PREFIX")


def handler_path(text: str) -> None:
    """Checks where messages are written: its placeholders are ``{1}``, ``{2}`` and so on."""
    rest = re.sub(r"\{[1-8]\}", "", text)
    if "{" in rest or "}" in rest:
        raise WrongValueError(
            "contains a brace that does not belong to a placeholder",
            "{1} stands for the level of the first wildcard",
        )
    if text.endswith("/"):
        raise WrongValueError("is a folder; a file is expected")


def deduplicate(text: str) -> None:
    """Checks what distinguishes messages: ``property:NAME`` or ``payload:NAME``."""
    if not re.fullmatch(r"(property|payload):.{1,128}", text):
        raise WrongValueError("is neither", "write property:NAME or payload:NAME")


def _no_control_characters(text: str) -> None:
    for character in text:
        if character == "\n":
            raise WrongValueError("has more than one line")
        if _CONTROL.match(character):
            kind = "a control character" if character < "\ud800" else "something that is not UTF-8"
            raise WrongValueError(f"contains {kind} (U+{ord(character):04X})")
