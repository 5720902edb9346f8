"""The command: says what it will do, asks, does it; turns failures into words and an exit status, here alone."""

import contextlib
import math
import os
import signal
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from botocore.exceptions import BotoCoreError, ClientError

from fleet_acceptance import arguments, perform, plan
from fleet_acceptance.account import clean_up, listing
from fleet_acceptance.account.cloud import Cloud, Where
from fleet_acceptance.arguments import Arguments
from fleet_acceptance.errors import AcceptanceError, Exit
from fleet_acceptance.report import compare, words
from fleet_acceptance.report.result import Result
from iot_sandbox.launch import LaunchError, launch


def main(given: Sequence[str] | None = None) -> int:
    """Runs the command; gives its exit status."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    asked = arguments.parse(given)
    try:
        return _run(asked)
    except AcceptanceError as error:
        sys.stderr.write(f"acceptance: {error}\n")
        return Exit.FAILED
    except (ClientError, BotoCoreError, LaunchError, OSError) as error:
        sys.stderr.write(f"acceptance: {error}\n")
        return Exit.FAILED
    except KeyboardInterrupt:
        sys.stderr.write(
            "\nacceptance: interrupted; scripts/acceptance --clean-up takes away what is left\n"
        )
        return Exit.INTERRUPTED


def say(text: str) -> None:
    """Writes for people; stdout is for the answer."""
    sys.stderr.write(f"{text}\n")
    sys.stderr.flush()


def _run(asked: Arguments) -> int:
    known = _known(asked.known)
    other = _loaded(asked.compare) if asked.compare else None
    if asked.only_compares and other:
        return _compared(other, None, known)
    asked.out.mkdir(parents=True, exist_ok=True)
    with _where(asked) as where:
        cloud = Cloud(where)
        if asked.clean_up:
            return _clean_up(cloud, asked)
        _ask(cloud, asked)
        result, status = _perform(cloud, asked)
    if other is not None and status is Exit.DONE:
        pair = (result, other) if other.against == arguments.SANDBOX else (other, result)
        return _compared(*pair, known)
    if status is Exit.DONE and [
        fact for fact, answer in result.different() if known.get(fact.id, ("",))[0] != answer
    ]:
        return Exit.DIFFERS
    return status


@contextlib.contextmanager
def _where(asked: Arguments) -> Iterator[Where]:
    """Gives the account: the caller's, or that of a sandbox that lives as long as this."""
    if not asked.against_sandbox:
        yield Where(asked.profile, asked.region, asked.endpoint_url, asked.ca_file)
        return
    with launch(arguments=asked.sandbox) as sandbox:
        # The caller's own AWS configuration must not reach it, nor the other way round.
        environment = sandbox.environment
        with _environment(environment):
            yield Where(None, sandbox.region, sandbox.http_url, sandbox.ca_file, environment)


@contextlib.contextmanager
def _environment(values: dict[str, str]) -> Iterator[None]:
    before = dict(os.environ)
    os.environ.update(values)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)


def _ask(cloud: Cloud, asked: Arguments) -> None:
    """Says what will be made and what it costs, and asks.

    Raises:
        AcceptanceError: the answer is no, or there is no terminal to ask on.
    """
    sections = plan.chosen(list(asked.only))
    say(
        f"acceptance, against {'a sandbox' if asked.against_sandbox else f'account {cloud.account}'} in {cloud.region}"
    )
    say("makes, all under names that begin with acc- and six digits, tagged where AWS has tags:")
    say("  a fleet: two roles, two policies, a template, a function as hook, a claim")
    for section in sections:
        times = f", {asked.devices} times" if section.per_device else ""
        say(f"  {section.name}: {section.makes}{times}")
        if section.warning:
            say(f"    {section.warning}")
    calls, messages, dollars = plan.costs(sections, asked.devices)
    cents = max(1, math.ceil(dollars * 100))
    plural = "cents" if cents > 1 else "cent"
    say(
        f"costs about {calls} calls and {messages} messages: at list prices less than {cents} US {plural}"
    )
    say("takes it all away afterwards" if not asked.keep else "LEAVES IT THERE (--keep)")
    if asked.against_sandbox or asked.yes:
        return
    if not sys.stdin.isatty():
        raise AcceptanceError("nobody to ask: add --yes")
    sys.stderr.write(f"Go on, in account {cloud.account}, {cloud.region}? [y/N] ")
    if input().strip().lower() not in ("y", "yes"):
        raise AcceptanceError("not done")


def _perform(cloud: Cloud, asked: Arguments) -> tuple[Result, Exit]:
    result = Result("", cloud.region, time.strftime("%Y-%m-%d", time.gmtime()), "")
    result.against = arguments.SANDBOX if asked.against_sandbox else "account"
    sections = plan.chosen(list(asked.only))
    wanted = perform.Wanted(sections, asked.devices, asked.out, asked.keep)
    status = perform.perform(cloud, wanted, result, say)
    return result, status


def _clean_up(cloud: Cloud, asked: Arguments) -> int:
    """Takes away what earlier runs left."""
    left: list[str] = []
    found = list(clean_up.runs(cloud, asked.out))
    for kind, why in cloud.unlisted.items():
        say(f"not listed here: {listing.plural(kind)} ({why})")
    for run, folder in found:
        say(f"{run}:")
        left += perform.remove(cloud, run, folder, say)
    taken = f"taken away: {', '.join(run for run, _ in found)}" if found else "nothing was left"
    print("\n".join(left) if left else taken)
    return Exit.FAILED if left else Exit.DONE


def _compared(real: Result, sandbox: Result | None, known: dict[str, tuple[str, str]]) -> int:
    found = compare.against_sandbox(real, sandbox, known)
    for each in found:
        print(f"{'known' if each.known else 'DIFFERENT'}: {each.words}")
        for line in [each.known] if each.known else words.consequences(each.fact, each.answer):
            print(f"  {line}")
    unknown = [each for each in found if not each.known]
    print(f"{len(found)} differences, {len(unknown)} of them not known")
    return Exit.DIFFERS if unknown else Exit.DONE


def _loaded(path: Path) -> Result:
    try:
        return Result.load(path.read_text())
    except (OSError, ValueError) as error:
        raise AcceptanceError(f"{path}: {error}") from error


def _known(path: Path | None) -> dict[str, tuple[str, str]]:
    try:
        return compare.known(path)
    except (OSError, ValueError) as error:
        raise AcceptanceError(f"{path or compare.KNOWN}: {error}") from error
