"""One run: its account, its folder, and what it has found so far."""

import contextlib
import itertools
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

from botocore.exceptions import BotoCoreError, ClientError

from fleet_acceptance.account.cloud import Cloud
from fleet_acceptance.account.journal import Folder
from fleet_acceptance.device.mqtt import RefusedError, Server
from fleet_acceptance.errors import AcceptanceError, NotMeasuredError
from fleet_acceptance.facts.table import BY_ID
from fleet_acceptance.report.redact import Redactor
from fleet_acceptance.report.result import Answer, Result, Step

# What the foreign code under a step raises; anything else is a fault of ours, and shown as one.
FAILURES = (
    AcceptanceError,
    ClientError,
    BotoCoreError,
    RefusedError,
    OSError,
    ValueError,
    KeyError,
    RuntimeError,
)

# For what AWS does within minutes, and for what must not come: an account, a sandbox on this machine.
_PATIENCE_SECONDS = {"account": 300.0, "sandbox": 1.0}
_SILENCE_SECONDS = {"account": 3.0, "sandbox": 1.0}

Made = TypeVar("Made")


class Run:
    """One run.

    Args:
        cloud: The account.
        folder: Gets what it makes.
        result: Gets what it finds.
        say: Writes for people.
        devices: How many are switched on at once.
    """

    def __init__(
        self,
        cloud: Cloud,
        folder: Folder,
        result: Result,
        say: Callable[[str], None],
        devices: int,
    ) -> None:
        self.cloud = cloud
        self.folder = folder
        self.result = result
        self.say = say
        self.devices = devices
        self.redactor = Redactor(cloud.account)
        self.section = ""
        self._server: Server | None = None
        self._numbers = itertools.count(1)
        self._made: dict[object, Any] = {}

    @property
    def id(self) -> str:
        """Its name, with which the name of all that it makes begins; its fleet's, too."""
        return self.folder.run

    @property
    def path(self) -> Path:
        """Its folder."""
        return self.folder.path

    @property
    def patience(self) -> float:
        """How many seconds AWS has for what it does within minutes."""
        return _PATIENCE_SECONDS[self.result.against]

    @property
    def silence(self) -> float:
        """For how many seconds to listen for what must not come."""
        return _SILENCE_SECONDS[self.result.against]

    @property
    def image(self) -> Path:
        """The folder with the fleet's configuration and claim."""
        return self.path / "image"

    @property
    def server(self) -> Server:
        """Where devices connect."""
        if self._server is None:
            self._server = self.cloud.server()
        return self._server

    def number(self) -> int:
        """Gives a number that was not given before."""
        return next(self._numbers)

    def once(self, make: "Callable[[Run], Made]") -> Made:
        """Gives what is made once for the whole run."""
        if make not in self._made:
            self._made[make] = make(self)
        found: Made = self._made[make]
        return found

    def fleet_cloud(self, *words: str | Path, statuses: tuple[int, ...] = (0,)) -> Any:  # noqa: ANN401
        """Runs fleet-cloud for the run's fleet; gives its JSON answer."""
        # Keys that it makes for a while lie in the run's folder, so that what it leaves when it is killed is known.
        folder = self.path / "tmp"
        folder.mkdir(mode=0o700, exist_ok=True)
        return self.cloud.fleet_cloud(self.id, *words, statuses=statuses, folder=folder)

    @contextlib.contextmanager
    def step(self, title: str) -> Iterator[None]:
        """Does one thing that has to work; the section ends where it does not.

        Raises:
            AcceptanceError: it did not.
        """
        began = time.monotonic()
        try:
            yield
        except FAILURES as error:
            said = self.redactor.text(f"{error}" or repr(error))
            step = Step(self.section, title, time.monotonic() - began, said)
            self.result.steps.append(step)
            self.say(f"  FAILED {title}: {said}")
            raise AcceptanceError(title) from error
        self.result.steps.append(Step(self.section, title, time.monotonic() - began))
        self.say(f"  ok {title}")

    def record(self, fact: str, answer: str, /, **raw: object) -> None:
        """Keeps the answer to a fact, and what was seen."""
        asked = BY_ID[fact]
        kept = self.redactor.text(answer)
        self.result.answers[fact] = Answer(kept, raw=self.redactor.of(raw))
        mark = "=" if kept == asked.sandbox else "≠"
        self.say(f"  {mark} {fact}: {kept}")

    @contextlib.contextmanager
    def measuring(self, *facts: str) -> Iterator[None]:
        """Measures facts: those without an answer in the end were not measured, and the reason is kept."""
        why = "no answer came"
        try:
            yield
        except NotMeasuredError as error:
            why = str(error)
        except FAILURES as error:
            why = self.redactor.text(f"{type(error).__name__}: {error}")
        for fact in facts:
            if fact not in self.result.answers:
                self.result.answers[fact] = Answer(None, why)
                self.say(f"  ? {fact}: not measured: {why}")
