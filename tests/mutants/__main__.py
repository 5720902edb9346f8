"""``scripts/mutants``: what no unit test notices, room by room."""

import argparse
import contextlib
import io
import json
import os
import random
import sys
import time
from collections.abc import Iterable
from pathlib import Path

import pytest

from mutants import equivalent, mutations, trials

_ROOT = Path(__file__).resolve().parents[2]
_AGENT = _ROOT / "agent"
_KEPT = _ROOT / ".mutants"
# A room's own unit tests, and those of its neighbours that reach far into it.
ROOMS = {
    "provisioning": ["provisioning", "identity"],
    "credentials": ["credentials", "identity", "provisioning"],
    "orders": ["orders"],
    "session": ["session", "doctor"],
    "telemetry": ["telemetry"],
}


def main() -> int:
    """Runs it; 1 when a room is below the share asked for, or the list of equivalent ones is not right."""
    arguments = _parser().parse_args()
    listed = list(equivalent.read())
    is_right = True
    print(
        f"{'room':<14} {'mutants':>8} {'killed':>7} {'survived':>9} {'equivalent':>11} {'share':>7} {'minutes':>8}"
    )
    for room in arguments.rooms or ROOMS:
        is_right &= _Room(room, arguments).run(listed)
    return 0 if is_right else 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="scripts/mutants",
        description="Breaks each function of a room in one place after another and runs the unit tests that reach it. "
        "What they do not notice survives, and is printed.",
    )
    add = parser.add_argument
    add(
        "rooms",
        nargs="*",
        choices=[*ROOMS, []],
        metavar="ROOM",
        help=f"of {', '.join(ROOMS)}; all without",
    )
    add("--list", action="store_true", help="break nothing: print what there is to break")
    add("--left", action="store_true", help="only what survived last time, or is new")
    add("--sample", type=int, metavar="N", help="only N of a room, chosen by chance: an estimate")
    add("--file", action="append", metavar="NAME", help="only in files whose name has this in it")
    add("--tests", action="append", metavar="PATH", help="with these instead of all of the room's")
    add(
        "--workers",
        type=int,
        default=os.cpu_count(),
        metavar="N",
        help="at once (one a processor)",
    )
    add("--share", type=float, default=90, metavar="PERCENT", help="of mutants to be noticed (90)")
    return parser


class _Room:
    def __init__(self, name: str, arguments: argparse.Namespace) -> None:
        self._name = name
        self._arguments = arguments
        folder = _AGENT / "fleet_agent" / name
        paths = [path for path in sorted(folder.rglob("*.py")) if path.name != "__init__.py"]
        if arguments.file:
            paths = [path for path in paths if any(each in path.name for each in arguments.file)]
        self._files = {str(path.relative_to(folder.parent)): path for path in paths}
        self._mutants = [
            mutant
            for name, path in self._files.items()
            for mutant in mutations.of_file(path, name)
        ]
        self._path = _KEPT / f"{name}.json"

    def run(self, listed: Iterable[equivalent.Equivalent]) -> bool:
        """Whether it is as it should be."""
        if self._arguments.list:
            for mutant in self._mutants:
                _show(mutant, "")
            return True
        began = time.monotonic()
        mine = [each for each in listed if each.file in self._files]
        gone = equivalent.gone(mine, {mutant.change for mutant in self._mutants})
        if self._arguments.sample is not None:
            size = min(self._arguments.sample, len(self._mutants))
            # The same ones each time.
            self._mutants = random.Random(0).sample(self._mutants, size)
        known = {each.change for each in mine}
        outcomes = self._kept() if self._arguments.left else {}
        outcomes |= self._try(
            [
                each
                for each in self._mutants
                if each.change not in known and outcomes.get(each.key) not in trials.NOTICED
            ]
        )
        left = [
            each
            for each in self._mutants
            if each.change not in known and outcomes[each.key] not in trials.NOTICED
        ]
        for mutant in left:
            _show(mutant, outcomes[mutant.key])
        for each in gone:
            print(f"\nlisted as equivalent, and not there: {' | '.join(map(str, each.change))}")
        equal = sum(each.change in known for each in self._mutants)
        killed = len(self._mutants) - equal - len(left)
        share = 100 * killed / max(1, killed + len(left))
        print(
            f"{self._name:<14} {len(self._mutants):>8} {killed:>7} {len(left):>9} {equal:>11} "
            f"{share:>6.1f}% {(time.monotonic() - began) / 60:>8.1f}",
            flush=True,
        )
        return not gone and share >= float(self._arguments.share)

    def _kept(self) -> dict[str, str]:
        """What became of mutants in earlier runs."""
        if not self._path.exists():
            return {}
        kept: dict[str, str] = json.loads(self._path.read_text())
        return kept

    def _keep(self, outcomes: dict[str, str]) -> None:
        _KEPT.mkdir(exist_ok=True)
        self._path.write_text(json.dumps(self._kept() | outcomes))

    def _try(self, mutants: list[mutations.Mutant]) -> dict[str, str]:
        if not mutants:
            return {}
        trials.import_all(_AGENT, list(self._files.values()))
        plugin = trials.Trials(mutants, self._files, self._arguments.workers, self._keep)
        output = io.StringIO()
        with contextlib.redirect_stdout(output):
            status = pytest.main(
                ["-q", "-p", "no:cacheprovider", "-p", "no:xdist", "--timeout=0"]
                + ["-m", "not slow and not thorough", f"--rootdir={_ROOT}"]
                + (self._arguments.tests or [f"tests/unit/{each}" for each in ROOMS[self._name]]),
                plugins=[plugin],
            )
        if status or plugin.failed:
            sys.exit(
                f"{self._name}: tests fail with nothing broken: {plugin.failed}\n{output.getvalue()}"
            )
        return plugin.outcomes


def _show(mutant: mutations.Mutant, outcome: str) -> None:
    often = f" ({mutant.nth} in this function)" if mutant.nth > 1 else ""
    print(
        f"\n{mutant.file}:{mutant.line} {mutant.function} {outcome}\n- {mutant.was}\n+ {mutant.becomes}{often}"
    )


if __name__ == "__main__":
    sys.exit(main())
