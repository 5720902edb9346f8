"""Topics by template: ``{name}`` → what this device's identity and configuration say."""

import re
from collections.abc import Callable, Mapping

from fleet_agent.errors import DeviceError
from fleet_agent.printable import printable
from fleet_agent.topics.limits import Fault, filter_fault, string_fault, topic_fault

# Beside thing, certificate_id and source: the names of template parameters, and whatever keys the template's device
# configuration has, which only RegisterThing's answer has.
PLACEHOLDER = r"[0-9A-Za-z_][0-9A-Za-z_:.-]*"

_NAME = re.compile(rf"\{{({PLACEHOLDER})\}}")
_BRACES = re.compile(r"\{[^{}]*\}")
_HINT = (
    "known are {thing}, {certificate_id}, {source}, template parameters and device configuration"
)

_SHOWN = 80  # characters of a value

# What would make another topic of it: more levels, wildcards.
_SHAPING = re.compile(r"[/+#]")


def nothing_else(_name: str) -> str | None:
    """For ``others``: there are no other names."""
    return None


def is_filter(template: str) -> bool:
    """Whether it can only be a filter."""
    return "+" in template or "#" in template or template.startswith("$share/")


def template_fault(template: str, fault_of: Callable[[str], Fault | None]) -> Fault | None:
    """Returns why a template cannot become a topic or filter; ``fault_of`` checks it with its placeholders as text."""
    for name in _BRACES.findall(template):
        if not _NAME.fullmatch(name):
            return Fault(f"has the invalid placeholder {name}", _HINT)
    plain = _BRACES.sub(lambda found: "x" * len(found[0]), template)
    if "{" in plain or "}" in plain:
        return Fault("contains a brace that does not belong to a placeholder", _HINT)
    return fault_of(plain)


def fill(
    template: str,
    known: Mapping[str, str],
    source: str = "",
    others: Callable[[str], str | None] = nothing_else,
) -> str:
    """Fills a topic or a filter.

    Args:
        template: With ``{thing}``, ``{certificate_id}``, ``{source}``, keys of the device configuration, other names.
        known: The values of the identity: name → value.
        source: What ``{source}`` stands for; nothing does when it is empty.
        others: Name → value, asked for what is none of those: template parameters. None: not known either.

    Raises:
        DeviceError: An unknown name, a value that would change the topic's shape, or a topic that AWS IoT does
            not take; names the template and the value.
    """
    if source:
        known = {**known, "source": source}

    def value(found: re.Match[str]) -> str:
        name = found[1]
        text = known[name] if name in known else others(name)
        if text is None:
            raise _wrong(template, f"there is no value for {{{name}}}", _names(known))
        if (problem := _value_problem(text, is_first=found.start() == 0)) is not None:
            raise _wrong(
                template, f"{{{name}}} is {problem}", "Use another name, or change its value."
            )
        return text

    topic = _NAME.sub(value, template)
    if fault := (filter_fault if is_filter(template) else topic_fault)(topic):
        problem = f"once filled in, it {fault.problem}: {_shown(topic)}"
        raise _wrong(template, problem, "Change it, or make it shorter.")
    return topic


def _value_problem(text: str, *, is_first: bool) -> str | None:
    if not text:
        return "empty"
    if fault := string_fault(text):
        return f"{_shown(text)}, which {fault.problem}"
    # The topics below $ are AWS IoT's own.
    if _SHAPING.search(text) or (is_first and text.startswith("$")):
        return f"{_shown(text)}, which cannot be a level of a topic"
    return None


def _shown(text: str) -> str:
    return f'"{printable(text[:_SHOWN])}"' + ("…" if len(text) > _SHOWN else "")


def _names(known: Mapping[str, str]) -> str:
    names = ", ".join(sorted(printable(name) for name in known))
    return f"Known are {names} and the names under provisioning.parameters."


def _wrong(template: str, problem: str, remedy: str) -> DeviceError:
    return DeviceError(
        f"The topic {printable(template)} cannot be filled in: {problem}.",
        remedy=remedy,
        code="topic-invalid",
    )
