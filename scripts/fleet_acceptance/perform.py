"""One run from its first call to its last: listing, set-up, sections, removal, listing, report."""

import contextlib
import json
import shutil
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from fleet_acceptance.account import clean_up, listing
from fleet_acceptance.account.cloud import Cloud
from fleet_acceptance.account.journal import Folder
from fleet_acceptance.context import Run
from fleet_acceptance.errors import AcceptanceError, Exit
from fleet_acceptance.plan import Section
from fleet_acceptance.report import words
from fleet_acceptance.report.redact import Redactor
from fleet_acceptance.report.result import Result
from fleet_acceptance.sections import set_up

Say = Callable[[str], None]

_ROUNDS = 4
_PAUSE_SECONDS = 5.0
_LAST_WRITES_SECONDS = 20.0


@dataclass(frozen=True)
class Wanted:
    """What is to be done.

    Attributes:
        sections: these.
        devices: how many are switched on at once.
        out: gets the result and, while it runs, the run's folder.
        keep: whether everything stays.
    """

    sections: Sequence[Section]
    devices: int
    out: Path
    keep: bool


def perform(cloud: Cloud, wanted: Wanted, result: Result, say: Say) -> Exit:
    """Does it; the result is written also where it is interrupted."""
    folder = Folder.new(wanted.out)
    result.run = folder.run
    run = Run(cloud, folder, result, say, wanted.devices)
    status = Exit.DONE
    try:
        say(f"run {folder.run}")
        folder.write_before(listing.everything(cloud))
        unlisted(cloud, result, say)
        _sections(run, wanted.sections)
    except KeyboardInterrupt:
        say("interrupted")
        status = Exit.INTERRUPTED
    finally:
        if wanted.keep:
            say(f"kept: all that is called {folder.run}, and {folder.path}")
            say("scripts/acceptance --clean-up takes it away")
        else:
            result.left = [
                run.redactor.text(each) for each in remove(cloud, folder.run, folder, say)
            ]
        result.figures["calls of AWS's APIs"] = sum(cloud.calls.values())
        write(result, run.redactor, wanted.out, say)
    if status is Exit.DONE and (result.failures or result.left):
        status = Exit.FAILED
    return status


def unlisted(cloud: Cloud, result: Result, say: Say) -> None:
    """Names what cannot be listed here: what a run makes of it cannot be found by its tags, the rest goes on."""
    for kind, why in cloud.unlisted.items():
        say(f"  not listed here: {listing.plural(kind)} ({why})")
    if cloud.unlisted:
        result.figures["not listed"] = dict(cloud.unlisted)


def _sections(run: Run, sections: Sequence[Section]) -> None:
    run.section = "set-up"
    try:
        set_up.up(run)
    except AcceptanceError:
        return
    for section in sections:
        run.section = section.name
        run.say(f"{section.name}:")
        with contextlib.suppress(AcceptanceError):  # its step is kept as failed
            section.run(run)
    run.section = "set-up"


def remove(cloud: Cloud, run: str, folder: Folder | None, say: Say) -> list[str]:
    """Takes away what a run made; gives what is left, in words. The folder goes where nothing is."""
    say("taking it all away")
    left: list[str] = []
    for _ in range(_ROUNDS):
        done = clean_up.take_away(cloud, run, folder, say)
        left = [f"{name}: {why}" for name, why in done.left.items()]
        left += [each for each in clean_up.left_of(cloud, run, folder) if each not in done.left]
        if not left:
            break
        # A function that was still at work writes its log after it is gone; a call may have been under way.
        time.sleep(_PAUSE_SECONDS)
    if folder is None:
        return left
    before = folder.before()
    if before is not None:
        others = listing.changes(before, listing.everything(cloud))
        if not left and not others:
            say("the account is as it was")
        for kind, names in others.items():
            say(f"  since the beginning: {kind} {', '.join(names)}")
    if not left and not _gone(folder.path):
        left.append(f"{folder.path}: something still writes into it")
    return left


def _gone(path: Path) -> bool:
    """Deletes the run's folder; a program whose parent was ended may write its last into it meanwhile."""
    until = time.monotonic() + _LAST_WRITES_SECONDS
    while path.exists():
        if time.monotonic() > until:
            return False
        shutil.rmtree(path, ignore_errors=True)
        time.sleep(0.1)
    return True


def write(result: Result, redactor: Redactor, out: Path, say: Say) -> None:
    """Writes the result and the report; nothing with a secret in it.

    Raises:
        AcceptanceError: one is in it.
    """
    document = json.dumps(redactor.of(result.dump()), indent=1, ensure_ascii=False) + "\n"
    report = redactor.text(words.report(result))
    if found := sorted({*redactor.leaks(document), *redactor.leaks(report)}):
        raise AcceptanceError(f"the report would hold {', '.join(found)}: it is not written")
    stem, number = f"acceptance-{result.region}-{result.date}", 1
    while (out / f"{stem}.json").exists():
        number += 1
        stem = f"acceptance-{result.region}-{result.date}-{number}"
    (out / f"{stem}.json").write_text(document)
    (out / f"{stem}.md").write_text(report)
    for line in words.summary(result):
        say(line)
    print(out / f"{stem}.md")
