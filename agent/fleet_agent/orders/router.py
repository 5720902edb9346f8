"""Gives each message to its handler: that of the first subscription, in the order of the configuration, that matches.

One message, one handler, one answer: filters may overlap, the special one first, the general one last. Subscriptions
without a handler only log.
"""

import binascii
import dataclasses
import logging
import math
from collections.abc import Mapping, Sequence
from pathlib import Path

from fleet_agent import files
from fleet_agent.config.subscriptions import Subscription
from fleet_agent.errors import AgentError
from fleet_agent.mailbox import Mailbox
from fleet_agent.orders import deduplicate
from fleet_agent.orders.answer import failure, refusal
from fleet_agent.orders.command import Arrived, Command
from fleet_agent.orders.handler import Counters, Handler, Shared
from fleet_agent.orders.handlers.work import Work
from fleet_agent.printable import printable
from fleet_agent.record import record
from fleet_agent.topics import filters

_log = logging.getLogger(__name__)

_NAME_CHARACTERS = 80  # of a handler's name in a file name


@record
class _Entry:
    """A subscription as it is now: its filter is filled in."""

    filter: str
    subscription: Subscription
    handler: Handler | None


class Commands:
    """All that comes down.

    Args:
        folder: Where handlers keep what waits: ``commands`` in the state directory.
        mailbox: Where programs and sockets are watched.
        shared: Where answers and problems go.
    """

    def __init__(self, folder: Path, mailbox: Mailbox, shared: Shared) -> None:
        self._folder = folder
        self._mailbox = mailbox
        self._shared = shared
        self._entries: list[_Entry] = []

    def configure(self, subscriptions: Sequence[tuple[str, Subscription]]) -> None:
        """Listen to these, each with its filter filled in; called once.

        What waits for a handler goes on with the first ``act``, whatever else of its settings is new; what waits for
        one that is not there any more is dropped.
        """
        # An answer there would come back, as the next message.
        own = (*self._shared.own, *(found for found, _ in subscriptions))
        self._shared = dataclasses.replace(self._shared, own=own)
        for found, subscription in dict.fromkeys(subscriptions):
            self._entries.append(self._entry(found, subscription))
        self._tidy()

    def take(self, message: Arrived) -> bool:
        """Give a message to its handler, which acknowledges it once it is safe; one that has none is done with.

        Returns:
            Whether it was acknowledged; else its handler has no place for it yet, and holds it.
        """
        for item in self._entries:
            if item.handler is not None and filters.matches(item.filter, message.topic):
                return self._hand(message, item, item.handler)
        message.acknowledge()
        return True

    def disconnected(self) -> None:
        """The connection ended: what is not acknowledged comes again."""
        for handler in self._handlers():
            handler.disconnected()

    def is_logged(self, topic: str) -> bool:
        """Whether a subscription asks that messages of this topic are logged."""
        return any(
            item.subscription.log and filters.matches(item.filter, topic) for item in self._entries
        )

    @property
    def counters(self) -> Mapping[str, Counters]:
        """What each handler did, by its name."""
        return {handler.name: handler.counters for handler in self._handlers()}

    @property
    def due(self) -> float:
        """When ``act`` is to be called (monotonic seconds)."""
        return min((handler.due for handler in self._handlers()), default=math.inf)

    def act(self) -> None:
        """A deadline has passed."""
        now = self._shared.clock.monotonic()
        for handler in self._handlers():
            if handler.due <= now:
                handler.act()

    def close(self) -> None:
        """End what goes on; call it while answers can still leave."""
        for handler in self._handlers():
            handler.close()

    # Parts --------------------------------------------------------------------------------------------------------

    def _handlers(self) -> list[Handler]:
        return [item.handler for item in self._entries if item.handler is not None]

    def _hand(self, message: Arrived, item: _Entry, handler: Handler) -> bool:
        if message.retain and not item.subscription.retained:
            _log.info(
                "%s: a retained message on %s is not a new one and was left alone",
                handler.name,
                printable(message.topic),
            )
            message.acknowledge()
            return True
        topic = message.response_topic
        if topic is not None and (
            why := refusal(topic, message.correlation_data, self._shared.own)
        ):
            # Nor does a program learn of it, which might answer by itself.
            words = handler.name, printable(topic), why
            _log.warning("%s: no answer: the response topic %s %s", *words)
            topic = None
        command = Command(
            topic=message.topic,
            payload=message.payload,
            response_topic=topic,
            correlation_data=message.correlation_data,
            content_type=message.content_type,
            user_properties=message.user_properties,
            levels=filters.levels(item.filter, message.topic),
        )
        if item.subscription.deduplicate is not None:
            try:
                identity = deduplicate.identity(
                    item.subscription.deduplicate, message.payload, message.user_properties
                )
            except ValueError as error:
                handler.refuse(command, failure("bad-id", str(error)))
                message.acknowledge()
                return True
            command = dataclasses.replace(command, identity=identity)
        return handler.take(command, message.acknowledge, comes_again=message.qos > 0)

    def _entry(self, found: str, subscription: Subscription) -> _Entry:
        name = self._name(subscription.name or found)
        work = self._work(subscription, name)
        if work is None:
            return _Entry(filter=found, subscription=subscription, handler=None)
        folder = self._folder / _folder_name(name, found)
        handler = Handler(name, subscription, work, folder, self._shared)
        return _Entry(filter=found, subscription=subscription, handler=handler)

    def _name(self, wanted: str) -> str:
        """A name that no other handler has."""
        taken = {handler.name for handler in self._handlers()}
        names = (f"{wanted}-{number}" for number in range(2, len(taken) + 3))
        return wanted if wanted not in taken else next(name for name in names if name not in taken)

    def _work(self, subscription: Subscription, name: str) -> Work | None:
        # Each kind is imported when there is one: what it needs would stay in the daemon's memory.
        if subscription.exec is not None:
            from fleet_agent.orders.handlers.exec import ExecWork

            return ExecWork(subscription.exec, name, self._mailbox, self._shared.clock)
        if subscription.file is not None:
            from fleet_agent.orders.handlers.file import FileWork

            return FileWork(subscription.file, self._shared.reserved)
        if subscription.socket is not None:
            from fleet_agent.orders.handlers.socket import SocketWork

            return SocketWork(subscription.socket, name, self._mailbox, self._shared.clock)
        if subscription.upload_bundle is not None:
            from fleet_agent.orders.handlers.upload_bundle import UploadWork

            return UploadWork(subscription.upload_bundle, name, self._mailbox, self._shared.clock)
        return None

    def _tidy(self) -> None:
        """Remove what handlers kept that are not there any more."""
        ours = {
            _folder_name(item.handler.name, item.filter)
            for item in self._entries
            if item.handler is not None
        }
        try:
            for folder in list(self._folder.iterdir()) if self._folder.is_dir() else ():
                if folder.name not in ours:
                    files.remove_folder(folder)
        except (AgentError, OSError) as error:
            _log.warning("what a former handler kept stays in %s: %s", self._folder, error)


def _folder_name(name: str, found: str) -> str:
    """A handler's folder: its name as far as a file can have it, and what distinguishes it from others."""
    plain = "".join(
        character if character.isascii() and (character.isalnum() or character in "-_.") else "_"
        for character in name[:_NAME_CHARACTERS]
    )
    return f"{plain}-{binascii.crc32(f'{name}/{found}'.encode()):08x}"
