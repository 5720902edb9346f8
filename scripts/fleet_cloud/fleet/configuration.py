"""The agent's config.yaml, written as text so that it can carry comments. Pure.

Every value is a JSON string, which is a YAML string too: no name that looks like a number or like ``no`` is misread.
"""

import dataclasses
import json
import re
from collections.abc import Sequence

from fleet_cloud.errors import UsageError

DEVICE_CLAIM_FOLDER = "/etc/fleet-agent/claim"
SECURE_MQTT_PORT = 8883
HTTPS_PORT = 443

_HIGHEST_PORT = 65535
_HIGHEST_SHORT = 0xFFFF  # that four digits can say
_WRITTEN = re.compile(
    r'^(endpoint|port|ca_file): ("(?:[^"\\]|\\.)*"|[0-9]+|null)(?= *$| *#)', re.MULTILINE
)
_ENDPOINT = re.compile(
    r"(?P<host>[0-9A-Za-z_]([0-9A-Za-z_.-]*[0-9A-Za-z])?)(:(?P<port>[0-9]{1,5}))?|"
    r"(?P<bare6>[0-9A-Fa-f]*:[0-9A-Fa-f]*:[0-9A-Fa-f:.]*)|"
    r"\[(?P<address6>[0-9A-Fa-f:.]*:[0-9A-Fa-f:.]*)\](:(?P<port6>[0-9]{1,5}))?"
)


@dataclasses.dataclass(frozen=True)
class Endpoint:
    """Where devices connect."""

    host: str
    port: int


@dataclasses.dataclass(frozen=True, kw_only=True)
class DeviceConfiguration:
    """What config.yaml says; paths as the device is to read them."""

    endpoint: Endpoint
    ca_file: str | None
    claim_certificate: str
    claim_key: str
    template: str
    spread: str
    spread_reason: str
    credentials: "Credentials | None" = None


@dataclasses.dataclass(frozen=True, kw_only=True)
class Credentials:
    """Where AWS credentials for programs come from, for which role aliases, and whose programs these are."""

    endpoint: Endpoint
    aliases: Sequence[str]
    users: Sequence[str]


def endpoint(given: str, port: int = SECURE_MQTT_PORT) -> Endpoint:
    """Reads ``HOST`` or ``HOST:PORT``; an IPv6 address with a port stands in brackets.

    Args:
        given: This.
        port: What it is without one.

    Raises:
        UsageError: It is something else, such as a URL.
    """
    found = _ENDPOINT.fullmatch(given)
    if not found:
        raise _no_endpoint(given)
    found_port = int(found["port"] or found["port6"] or port)
    if not 1 <= found_port <= _HIGHEST_PORT:
        raise _no_endpoint(given)
    return Endpoint(found["host"] or found["bare6"] or found["address6"], found_port)


def remembered(written: str) -> tuple[str | None, str | None]:
    """Returns where devices connect and the CA that is trusted there, as an earlier configuration says them."""
    found = dict(_WRITTEN.findall(written))
    try:
        host, port = json.loads(found["endpoint"]), int(found["port"])
        ca_file = json.loads(found["ca_file"])
    except (KeyError, ValueError):
        return None, None  # somebody else wrote it
    place = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    return place, ca_file


def render(wanted: DeviceConfiguration) -> str:
    """Returns the text of config.yaml."""
    ca_file = f"ca_file: {_quoted(wanted.ca_file)}"
    if wanted.ca_file is None:
        ca_file = _remarked(ca_file, "the system's store, which has Amazon's root CAs")
    return f"""\
# yaml-language-server: $schema=/usr/share/fleet-agent/config.schema.json
# Written by fleet-cloud config. Relative paths start at this file's folder.
endpoint: {_quoted(wanted.endpoint.host)}
port: {wanted.endpoint.port}
{ca_file}
claim:
  certificate: {_quoted(wanted.claim_certificate)}
  private_key: {_quoted(wanted.claim_key)}
provisioning:
  template: {_quoted(wanted.template)}
{_remarked('  method: "csr"', "the device's key is made on the device and stays there")}
  parameters:
    SerialNumber: {{first_of: [{{device_tree: serial-number}}, {{dmi: product_serial}}, {{machine_id: app}}]}}
    # DeviceLocation: "Seattle"
{_remarked(f"  spread: {_quoted(wanted.spread)}", wanted.spread_reason)}
{_credentials(wanted.credentials)}telemetry:
  topic: "dt/{{thing}}/{{source}}"
  sources: [{{system: {{interval: "60s"}}}}]
subscriptions: [{{topic: "cmd/{{thing}}/#", log: true}}]
"""


def _credentials(wanted: Credentials | None) -> str:
    if wanted is None:
        return ""
    allowed = ", ".join(_quoted(f"user:{user}") for user in wanted.users)
    remark = "users whose programs may have them; root may in any case"
    lines = [
        "credentials:",
        f"  endpoint: {_quoted(wanted.endpoint.host)}",
        *([f"  port: {wanted.endpoint.port}"] if wanted.endpoint.port != HTTPS_PORT else []),
        "  aliases:",
        *(
            _remarked(f"    {_quoted(alias)}: {{allow: [{allowed}]}}", remark)
            for alias in wanted.aliases
        ),
    ]
    return "".join(f"{line}\n" for line in lines)


def _remarked(line: str, remark: str) -> str:
    return f"{line.ljust(34)} # {remark}"


def _quoted(value: str | None) -> str:
    """Returns a value as YAML and JSON both have it; what is not printable by its number, which YAML asks for."""
    return "".join(
        character if character.isprintable() else _numbered(character)
        for character in json.dumps(value, ensure_ascii=False)
    )


def _numbered(character: str) -> str:
    number = ord(character)
    return f"\\U{number:08x}" if number > _HIGHEST_SHORT else f"\\u{number:04x}"


def _no_endpoint(given: str) -> UsageError:
    return UsageError(
        f"{given!r} is not an endpoint",
        remedy="write HOST or HOST:PORT, without https:// and without a path, "
        "such as a1b2c3-ats.iot.eu-west-1.amazonaws.com:8883",
    )
