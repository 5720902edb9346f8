"""The mutants that no test can notice: each was read, and the list has why."""

import tomllib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from mutants.mutations import Change

LIST = Path(__file__).with_name("equivalent.toml")


class Equivalent(NamedTuple):
    """A change after which the function does the same."""

    file: str
    function: str
    was: str
    becomes: str
    # Of the same change in the same function, the how-manieth: another one may make a difference.
    nth: int
    why: str

    @property
    def change(self) -> "Change":
        """What it has in common with the mutant."""
        return self.file, self.function, self.was, self.becomes, self.nth


def read(path: Path = LIST) -> Iterator[Equivalent]:
    """All that are listed."""
    for entry in tomllib.loads(path.read_text())["equivalent"]:
        for was, becomes, *nth in entry["changes"]:
            [number] = nth or [1]
            yield Equivalent(entry["file"], entry["function"], was, becomes, number, entry["why"])


def gone(listed: Iterable[Equivalent], changes: "set[Change]") -> list[Equivalent]:
    """Those whose code is no longer there, or no longer as it was."""
    return [each for each in listed if each.change not in changes]
