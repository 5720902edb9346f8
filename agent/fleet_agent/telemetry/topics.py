"""Fills the topics of the settings for this device; asks for template parameters only when a topic names one."""

from collections.abc import Callable, Mapping

from fleet_agent.config.settings import FirstOf, FromCommand, Source
from fleet_agent.credentials import topic
from fleet_agent.credentials.model import Credential
from fleet_agent.errors import DeviceError


class Topics:
    """What a topic's placeholders stand for on this device.

    Args:
        credential: Its identity and device configuration.
        parameters: The settings of the template parameters, by name.
    """

    def __init__(self, credential: Credential, parameters: Mapping[str, Source]) -> None:
        self._credential = credential
        self._parameters = parameters
        self._found: dict[str, str] = {}

    def fill(self, template: str, source: str = "") -> str:
        """Fill a topic or a filter; ``source`` is the name of the source it is for.

        Raises:
            DeviceError: As ``credentials.topic.fill``; or a template parameter that it names has no value.
        """
        return topic.fill(template, self._credential, source, self._parameter)

    def filler(self, source: str) -> Callable[[str], str]:
        """Return what fills topics that others send: it runs no program for a parameter, which could take its time."""
        return lambda template: topic.fill(template, self._credential, source, self._at_once)

    def _at_once(self, name: str) -> str | None:
        if name in self._found or not _runs_program(self._parameters.get(name, "")):
            return self._parameter(name)
        raise DeviceError(
            f"{{{name}}} comes from a program, which is not run for a reading.",
            remedy=f"Name {{{name}}} in the topic of the socket's source as well: then it is known from the start.",
            code="topic",
        )

    def _parameter(self, name: str) -> str | None:
        if name not in self._parameters:
            return None
        if name not in self._found:
            from fleet_agent import device

            (parameter,) = device.resolve({name: self._parameters[name]})
            self._found[name] = parameter.value
        return self._found[name]


def _runs_program(source: Source) -> bool:
    if isinstance(source, FirstOf):
        return any(map(_runs_program, source.first_of))
    return isinstance(source, FromCommand)
