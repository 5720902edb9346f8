"""All handlers by name: made when something uses them, each with a folder of its own."""

import binascii
import logging
import math
from collections.abc import Iterator, Mapping
from pathlib import Path

from fleet_agent import files
from fleet_agent.config.handlers import (
    ExecHandler,
    FileHandler,
    HelperHandler,
    SocketHandler,
    UploadBundle,
)
from fleet_agent.config.handlers import Handler as Settings
from fleet_agent.errors import AgentError
from fleet_agent.orders.handler import Handler
from fleet_agent.orders.handler_context import Counters, HandlerContext
from fleet_agent.orders.handlers.work import Limits, Work
from fleet_agent.process.mailbox import Mailbox

_log = logging.getLogger(__name__)

Kind = ExecHandler | FileHandler | SocketHandler | HelperHandler | UploadBundle

FOLDER = "orders"  # in the state directory

# Files in that folder that belong to no handler.
_OTHERS = frozenset(("job.json",))

_NAME_CHARACTERS = 80  # of a handler's name in a file name


class HandlerRegistry:
    """The handlers of a configuration.

    Args:
        folder: Where they keep their orders.
        settings: The configured ones by name.
        mailbox: Where programs and sockets are watched.
        context: Where outcomes and problems go.
    """

    def __init__(
        self,
        folder: Path,
        settings: Mapping[str, Settings],
        mailbox: Mailbox,
        context: HandlerContext,
    ) -> None:
        self.folder = folder
        self._settings = settings
        self._mailbox = mailbox
        self._context = context
        self._handlers: dict[str, Handler] = {}
        self.last = context.last

    def __iter__(self) -> Iterator[Handler]:
        return iter(self._handlers.values())

    def named(self, name: str) -> Handler:
        """The configured handler of that name."""
        found = self._handlers.get(name)
        return found or self._add(name, "", kind_of(self._settings[name]))

    def own(self, wanted: str, place: str, kind: Kind) -> Handler:
        """A handler of one subscription or feature alone, under the wanted name, or a similar one if that is taken.

        Args:
            wanted: The name.
            place: Distinguishes its folder from others of that name, in later configurations, too.
            kind: What it does.
        """
        taken = {*self._handlers, *self._settings}
        names = (f"{wanted}-{number}" for number in range(2, len(taken) + 3))
        name = wanted if wanted not in taken else next(each for each in names if each not in taken)
        return self._add(name, place, kind)

    def _add(self, name: str, place: str, kind: Kind) -> Handler:
        folder = self.folder / _folder_name(name, place)
        found = Handler(name, self._work(kind, name), _limits(kind), folder, self._context)
        self._handlers[name] = found
        return found

    def _work(self, kind: Kind, name: str) -> Work:
        # Each kind is imported only when it is used: its imports stay in the daemon's memory.
        clock, mailbox = self._context.clock, self._mailbox
        if isinstance(kind, ExecHandler):
            from fleet_agent.orders.handlers.exec import ExecWork

            return ExecWork(kind, name, mailbox, clock)
        if isinstance(kind, FileHandler):
            from fleet_agent.orders.handlers.file import FileWork

            return FileWork(kind, self._context.reserved)
        if isinstance(kind, SocketHandler):
            from fleet_agent.orders.handlers.socket import SocketWork

            return SocketWork(kind, name, mailbox, clock)
        if isinstance(kind, UploadBundle):
            from fleet_agent.orders.handlers.upload_bundle import UploadWork

            return UploadWork(kind, name, mailbox, clock)
        from fleet_agent.orders.handlers.helper import HelperWork

        return HelperWork(kind, mailbox, clock)

    def tidy(self) -> None:
        """Removes the folders of handlers that no longer exist; called once all are made."""
        ours = {handler.folder.name for handler in self} | _OTHERS
        try:
            for path in list(self.folder.iterdir()) if self.folder.is_dir() else ():
                if path.name not in ours:
                    files.remove_folder(path)
        except (AgentError, OSError) as error:
            _log.warning("the files of a removed handler stay in %s: %s", self.folder, error)

    def cancel(self, identity: str) -> None:
        """Ends the order of that identity, whoever has it."""
        for handler in list(self):
            if handler.has(identity):
                handler.cancel(identity)

    # All at once ------------------------------------------------------------------------------------------------------

    @property
    def counters(self) -> Mapping[str, Counters]:
        """Returns the counters of each handler, by name."""
        return {handler.name: handler.counters for handler in self}

    @property
    def due(self) -> float:
        """When ``act`` is to be called (monotonic seconds)."""
        return min((handler.due for handler in self), default=math.inf)

    def act(self) -> None:
        """Handles a deadline that has passed."""
        now = self._context.clock.monotonic()
        for handler in list(self):
            if handler.due <= now:
                handler.act()

    def disconnected(self) -> None:
        """Handles the end of the connection: AWS sends again what is not acknowledged."""
        for handler in self:
            handler.disconnected()

    def close(self) -> None:
        """Ends what is in progress; call it while answers can still be sent."""
        for handler in self:
            handler.close()


def kind_of(settings: Settings) -> Kind:
    """Returns the kind of a configured handler."""
    found = settings.exec or settings.file or settings.socket or settings.helper
    if found is None:  # the configuration was checked for that
        raise ValueError("no handler")
    return found


def _limits(kind: Kind) -> Limits:
    if isinstance(kind, FileHandler):
        return Limits(size=kind.max_size, waiting=0, seconds=0.0)
    size = 1 << 20 if isinstance(kind, HelperHandler) else kind.max_size
    return Limits(size=size, waiting=kind.max_waiting, seconds=kind.timeout)


def _folder_name(name: str, place: str) -> str:
    """A handler's folder: its name as far as a file can have it, and what distinguishes it from others."""
    plain = "".join(
        character if character.isascii() and (character.isalnum() or character in "-_.") else "_"
        for character in name[:_NAME_CHARACTERS]
    )
    return f"{plain}-{binascii.crc32(f'{name}/{place}'.encode()):08x}"
