"""What can be broken: a command with its state before, and what must hold once it was killed or a call of it failed.

A workload belongs to one bench, a sandbox of its own, so that every certificate made there since ``prepare`` is its.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from iot_sandbox.launch import launch
from support.fleets import Fleet, make_fleet
from support.strace import Program


@dataclass(frozen=True)
class Bench:
    """A fleet on a sandbox nobody else uses, and a folder to work in."""

    fleet: Fleet
    folder: Path


@contextmanager
def bench(folder: Path) -> Iterator[Bench]:
    """Starts one; four seconds."""
    with launch(folder / "sandbox") as sandbox:
        yield Bench(make_fleet(sandbox, folder / "claim"), folder)


class Workload(Protocol):
    """One thing to break.

    Attributes:
        sizes: Limits, in bytes, on the size of the files it writes that are worth trying.
    """

    sizes: range

    def prepare(self) -> None:
        """Puts everything back to before the run."""

    def program(self) -> tuple[Sequence[str], Sequence[Path]]:
        """The command, and the files that it works with."""

    def environment(self) -> dict[str, str]:
        """Its environment."""

    def look(self, said: str) -> None:
        """What must hold at once after it was broken; ``said`` on its stdout until then.

        Raises:
            AssertionError, AgentError: It does not.
        """

    def heal(self) -> None:
        """Runs it again with nothing in its way, and sees that it comes to its end.

        Raises:
            AssertionError, AgentError: It does not.
        """


def traced(workload: Workload, trace: str, *, of_files: bool) -> Program:
    """The workload's command for strace."""
    words, paths = workload.program()
    return Program(words, paths if of_files else (), trace, workload.environment())
