"""Fills the topics of the settings for this device; asks for template parameters only when a topic names one."""

from collections.abc import Callable, Mapping

from fleet_agent.topics import template as templates


class Topics:
    """The values of topics' placeholders on this device.

    Args:
        known: The values of its identity, by name (``Credential.topic_values``).
        find: Finds the value of a template parameter, which may take its time; None for an unknown name.
        find_at_once: The same, but takes no time: raises a ``DeviceError`` instead.
    """

    def __init__(
        self,
        known: Mapping[str, str],
        find: Callable[[str], str | None] = templates.nothing_else,
        find_at_once: Callable[[str], str | None] = templates.nothing_else,
    ) -> None:
        self._known = known
        self._find = find
        self._find_at_once = find_at_once
        self._found: dict[str, str] = {}

    def fill(self, template: str, source: str = "") -> str:
        """Fills a topic or a filter; ``source`` is the name of the source it is for.

        Raises:
            DeviceError: As ``template.fill``; or a template parameter that it names has no value.
        """
        return templates.fill(template, self._known, source, self._parameter)

    def filler(self, source: str) -> Callable[[str], str]:
        """Returns what fills topics that others send: it asks for no parameter that could take its time."""
        return lambda template: templates.fill(template, self._known, source, self._at_once)

    def _parameter(self, name: str) -> str | None:
        return self._once(name, self._find)

    def _at_once(self, name: str) -> str | None:
        return self._once(name, self._find_at_once)

    def _once(self, name: str, find: Callable[[str], str | None]) -> str | None:
        if name not in self._found and (value := find(name)) is not None:
            self._found[name] = value
        return self._found.get(name)
