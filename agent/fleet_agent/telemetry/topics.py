"""Fills the topics of the settings for this device; asks for template parameters only when a topic names one."""

from collections.abc import Callable, Mapping

from fleet_agent.config.settings import Source
from fleet_agent.credentials import topic
from fleet_agent.credentials.model import Credential
from fleet_agent.reserved import Reserved


class Topics:
    """What a topic's placeholders stand for on this device.

    Args:
        credential: Its identity and device configuration.
        parameters: The settings of the template parameters, by name.
        reserved: Files that are no parameter.
    """

    def __init__(
        self,
        credential: Credential,
        parameters: Mapping[str, Source],
        reserved: Reserved | None = None,
    ) -> None:
        self._reserved = reserved
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
        """Return what fills topics that others send: it asks for no parameter, which could take its time."""
        return lambda template: topic.fill(template, self._credential, source, self._found.get)

    def _parameter(self, name: str) -> str | None:
        if name not in self._parameters:
            return None
        if name not in self._found:
            from fleet_agent import device

            (parameter,) = device.resolve({name: self._parameters[name]}, reserved=self._reserved)
            self._found[name] = parameter.value
        return self._found[name]
