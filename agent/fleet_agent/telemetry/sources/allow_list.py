"""Which user's programs may send to which topics: the allow-list, for users as the kernel names them."""

import json
import os
from collections.abc import Callable, Sequence
from pathlib import Path

from fleet_agent.config.checks import publish_topic
from fleet_agent.config.readings import Allow
from fleet_agent.config.shape import WrongValueError
from fleet_agent.errors import DeviceError
from fleet_agent.local_clients import users
from fleet_agent.telemetry.sources.packet import BAD_TOPIC, NOT_ALLOWED, PacketError
from fleet_agent.topics import filters

# Topics of a program that are remembered, so that the usual ones are not checked each time.
_REMEMBERED = 1000


class AllowList:
    """The settings' allow-list on this device; ``problems``: what is wrong with it, a sentence each.

    Args:
        allow: The settings.
        fill: Fills the filters; None for one that cannot be, which then allows nothing.
        fill_sent: Fills topics that programs send.
        map_file: Which users' numbers the agent can see.
    """

    def __init__(
        self,
        allow: Sequence[Allow],
        fill: Callable[[str], str | None],
        fill_sent: Callable[[str], str],
        map_file: Path = users.USER_MAP,
    ) -> None:
        self._fill = fill_sent
        self._rules: list[tuple[int | None, str]] = []  # user (None: everybody) and filter
        self.problems: list[str] = []
        for item in allow:
            filled = [found for text in item.topics if (found := fill(text)) is not None]
            try:
                number = users.number(item.user)
            except KeyError:
                self.problems.append(f"there is no user {item.user}")
            else:
                self._rules += [(number, text) for text in filled]
        if self._others() and not users.are_visible(map_file):
            self.problems.append("the unit's PrivateUsers=yes hides who the sender is")

    def _others(self) -> set[int | None]:
        return {user for user, _ in self._rules} - {None, 0, os.geteuid()}

    def rights(self, user: int, topic: str) -> "Rights":
        """Returns the topics for a user's programs; ``topic`` is that of readings without one, or empty."""
        allowed = [text for user_of, text in self._rules if user_of in (None, user)]
        return Rights(user, allowed, topic, self._fill)


class Rights:
    """The topics that a program may send to.

    Args:
        user: Its user's number.
        allowed: Topic filters.
        topic: Where readings without a topic go.
        fill: Fills the topics that it sends.
    """

    def __init__(
        self, user: int, allowed: Sequence[str], topic: str, fill: Callable[[str], str]
    ) -> None:
        self.user = user
        self._allowed = allowed
        self._topic = topic
        self._fill = fill
        self._known: dict[str, str] = {}

    def topic(self, wanted: str) -> str:
        """The topic that a reading for ``wanted`` goes to.

        Raises:
            PacketError: There is no such topic, or it is not allowed.
        """
        topic = self._known.get(wanted)
        if topic is None:
            topic = self._look(wanted)
            if len(self._known) >= _REMEMBERED:
                self._known.clear()
            self._known[wanted] = topic
        return topic

    def _look(self, wanted: str) -> str:
        topic = wanted or self._topic
        if not topic:
            raise PacketError(
                BAD_TOPIC,
                "The topic of readings without one cannot be filled in.",
                "Give the packet a `topic`; what is missing is in: fleet-agent status",
            )
        if wanted:
            try:
                publish_topic(wanted)
                topic = self._fill(wanted)
            except WrongValueError as error:
                title = f"The topic {wanted[:300]!r} {error.problem}."
                raise PacketError(BAD_TOPIC, title, error.suggestion or "Change it.") from None
            except DeviceError as error:
                raise PacketError(BAD_TOPIC, error.title, error.remedy) from None
        if not any(filters.matches(text, topic) for text in self._allowed):
            quoted = json.dumps(topic, ensure_ascii=False)
            raise PacketError(
                NOT_ALLOWED,
                f"User {self.user} may not send to {topic}.",
                f"Add to the socket's `allow`: {{user: {self.user}, topics: [{quoted}]}}; "
                "then: systemctl reload fleet-agent",
            )
        return topic
