"""Holds one result against another, or against the sandbox's answers; knows the differences that are known. Pure."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from fleet_acceptance.facts.table import BY_ID, FACTS
from fleet_acceptance.report.result import Result

KNOWN = Path(__file__).with_name("known_differences.json")


@dataclass(frozen=True)
class Difference:
    """One fact with two answers."""

    fact: str
    answer: str
    other: str
    known: str

    @property
    def words(self) -> str:
        """It, for people."""
        return f"{self.fact}: {self.answer!r}, and the sandbox: {self.other!r}"


def known(path: Path | None = None) -> dict[str, tuple[str, str]]:
    """Reads the list of known differences: fact to the answer that is known, and why it may stay.

    Raises:
        ValueError: it is no such list, or names an unknown fact.
    """
    entries = json.loads((path or KNOWN).read_text())
    if not isinstance(entries, list):
        raise ValueError("a list of objects with fact, answer and why")  # noqa: TRY004  a file's content
    found = {}
    for entry in entries:
        if not isinstance(entry, Mapping) or entry.keys() != {"fact", "answer", "why"}:
            raise ValueError("each entry has fact, answer and why")
        if entry["fact"] not in BY_ID:
            raise ValueError(f"{entry['fact']} is no fact")
        found[str(entry["fact"])] = str(entry["answer"]), str(entry["why"])
    return found


def against_sandbox(
    real: Result, sandbox: Result | None, listed: Mapping[str, tuple[str, str]]
) -> list[Difference]:
    """Gives the facts that an account and the sandbox answer differently.

    Args:
        real: the account's.
        sandbox: a run's against the sandbox; None for the answers that the table says it gives.
        listed: the known ones.
    """
    found = []
    for fact in FACTS:
        mine = real.answers.get(fact.id)
        its = sandbox.answers.get(fact.id) if sandbox else None
        other = fact.sandbox if sandbox is None else its.answer if its else None
        if mine is None or mine.answer is None or other is None or mine.answer == other:
            continue
        answer, why = listed.get(fact.id, ("", ""))
        found.append(Difference(fact.id, mine.answer, other, why if answer == mine.answer else ""))
    return found
