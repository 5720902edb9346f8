"""Topics by template: ``{name}`` → what this device's identity and configuration say. Pure."""

import re
from collections.abc import Callable

from fleet_agent.config.checks import PLACEHOLDER, publish_topic, topic_filter
from fleet_agent.config.shape import WrongValueError
from fleet_agent.credentials.model import Credential
from fleet_agent.errors import DeviceError

_NAME = re.compile(rf"\{{({PLACEHOLDER})\}}")

# What would make another topic of it: more levels, wildcards, or what no topic can carry.
_FORBIDDEN = re.compile(r"[/+#\x00-\x1f\x7f-\x9f\ud800-\udfff]")


def nothing_else(_name: str) -> str | None:
    """For ``others``: there are no other names."""
    return None


def fill(
    template: str,
    credential: Credential,
    source: str = "",
    others: Callable[[str], str | None] = nothing_else,
) -> str:
    """Fill a topic or a filter.

    Args:
        template: With ``{thing}``, ``{certificate_id}``, ``{source}``, keys of the device configuration, other names.
        credential: Has the thing, the certificate and the device configuration.
        source: What ``{source}`` stands for; nothing does when it is empty.
        others: Name → value, asked for what is none of those: template parameters. None: not known either.

    Raises:
        DeviceError: A name that nobody knows, a value that would change the topic's shape, or a topic that AWS IoT does
            not take; names the template.
    """
    known = {
        **credential.device_configuration,
        "thing": credential.client_id,
        "certificate_id": credential.certificate_id,
        **({"source": source} if source else {}),
    }

    def value(found: re.Match[str]) -> str:
        name = found[1]
        text = known[name] if name in known else others(name)
        if text is None:
            raise _wrong(template, f"nothing is called {{{name}}}", _names(known))
        if not text or _FORBIDDEN.search(text):
            what = "empty" if not text else f"{text[:80]!r}, which no level of a topic can be"
            raise _wrong(
                template, f"{{{name}}} is {what}", "Take another name, or change its value."
            )
        return text

    topic = _NAME.sub(value, template)
    check = topic_filter if "+" in template or "#" in template else publish_topic
    try:
        check(topic.replace("{", "").replace("}", ""))  # a value may have braces
    except WrongValueError as error:
        raise _wrong(template, f"filled in it {error.problem}", "Make it shorter.") from error
    return topic


def _names(known: dict[str, str]) -> str:
    names = ", ".join(sorted(known))
    return f"Known are {names} and the names under provisioning.parameters."


def _wrong(template: str, what: str, remedy: str) -> DeviceError:
    return DeviceError(
        f"The topic {template} cannot be filled in: {what}.", remedy=remedy, code="topic-invalid"
    )
