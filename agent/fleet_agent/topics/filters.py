"""MQTT topic filters: which topics they match, and what their wildcards match. Pure.

``+`` is any one level; ``#``, the last, is all the levels that follow, or none. A filter that begins with a wildcard
leaves topics that begin with ``$`` alone. ``$share/GROUP/FILTER`` stands for what FILTER does.
"""

_SHARED = "$share/"


def matches(filter_: str, topic: str) -> bool:
    """Whether a message to ``topic`` is one that ``filter_`` asks for."""
    return _stood_for(filter_, topic) is not None


def levels(filter_: str, topic: str) -> tuple[str, ...]:
    """The levels of ``topic`` that the filter's wildcards stand for, from left to right; ``#`` gives one for each.

    ``levels("cmd/+/set/#", "cmd/a/set/b/c")`` is ``("a", "b", "c")``. Nothing for a topic that does not match.
    """
    return _stood_for(filter_, topic) or ()


def brings_all(filter_: str, topic: str) -> bool:
    """Whether every message to ``topic`` comes by ``filter_``; a member of a shared subscription gets some only."""
    return not filter_.startswith(_SHARED) and matches(filter_, topic)


def covers(general: str, special: str) -> bool:
    """Whether every message that ``special`` asks for is one that ``general`` asks for, too; of itself it is none.

    On AWS IoT ``a/#`` does not stand for ``a``, and each member of a shared subscription gets a part only.
    """
    if general == special or general.startswith(_SHARED):
        return False
    special = _own(special)
    if special.startswith("$") and general[:1] in ("+", "#"):
        return False
    wide, narrow = general.split("/"), special.split("/")
    for index, level in enumerate(wide):
        if level == "#":
            return index < len(narrow)
        if index == len(narrow) or narrow[index] == "#" or level not in ("+", narrow[index]):
            return False
    return len(wide) == len(narrow)


def _own(filter_: str) -> str:
    """The filter itself, of a shared subscription's."""
    if filter_.startswith(_SHARED):
        return filter_.removeprefix(_SHARED).partition("/")[2]
    return filter_


def _stood_for(filter_: str, topic: str) -> tuple[str, ...] | None:
    filter_ = _own(filter_)
    if not filter_ or (topic.startswith("$") and filter_[0] in "+#"):
        return None
    wanted, given = filter_.split("/"), topic.split("/")
    found: list[str] = []
    for index, level in enumerate(wanted):
        if level == "#":
            return (*found, *given[index:])
        if index == len(given) or level not in ("+", given[index]):
            return None
        if level == "+":
            found.append(given[index])
    return tuple(found) if len(wanted) == len(given) else None
