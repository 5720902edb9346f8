"""What one run found, as a value: dump and load side by side. Pure."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from fleet_acceptance.facts.fact import Fact
from fleet_acceptance.facts.table import BY_ID, FACTS

FORMAT = 1


@dataclass(frozen=True)
class Answer:
    """What was measured of one fact: its answer, or why there is none; and what was seen, without secrets."""

    answer: str | None
    why: str = ""
    raw: Any = None


@dataclass(frozen=True)
class Step:
    """One thing that had to work."""

    section: str
    title: str
    seconds: float
    failed: str = ""


@dataclass
class Result:
    """One run."""

    run: str
    region: str
    date: str
    against: str
    steps: list[Step] = field(default_factory=list)
    answers: dict[str, Answer] = field(default_factory=dict)
    figures: dict[str, Any] = field(default_factory=dict)
    left: list[str] = field(default_factory=list)

    @property
    def failures(self) -> list[Step]:
        """The steps that failed."""
        return [step for step in self.steps if step.failed]

    def different(self) -> list[tuple[Fact, str]]:
        """Gives the facts whose answer is not the sandbox's, in the table's order."""
        found = []
        for fact in FACTS:
            answer = self.answers.get(fact.id)
            if answer and answer.answer is not None and answer.answer != fact.sandbox:
                found.append((fact, answer.answer))
        return found

    def dump(self) -> dict[str, Any]:
        """Gives it as JSON values."""
        return {
            "format": FORMAT,
            "run": self.run,
            "region": self.region,
            "date": self.date,
            "against": self.against,
            "facts": {name: _dump(BY_ID[name], answer) for name, answer in self.answers.items()},
            "steps": [vars(step) for step in self.steps],
            "figures": self.figures,
            "left": self.left,
        }

    @classmethod
    def load(cls, text: str) -> "Result":
        """Reads a result.

        Raises:
            ValueError: it is no result, or of another format.
        """
        found = json.loads(text)
        if not isinstance(found, Mapping) or found.get("format") != FORMAT:
            raise ValueError(f"no result of scripts/acceptance in format {FORMAT}")
        try:
            answers: dict[str, Answer] = {
                str(name): Answer(fact["answer"], fact.get("why", ""), fact.get("raw"))
                for name, fact in found["facts"].items()
            }
            run, region, date, against = (
                str(found[name]) for name in ("run", "region", "date", "against")
            )
            loaded = cls(run, region, date, against)
            loaded.steps = [Step(**step) for step in found["steps"]]
            loaded.figures, loaded.left = dict(found["figures"]), list(found["left"])
        except (KeyError, TypeError, AttributeError) as error:
            raise ValueError(f"a result without {error}") from error
        loaded.answers = answers
        return loaded


def _dump(fact: Fact, answer: Answer) -> dict[str, Any]:
    measured = {"answer": answer.answer, "documented": fact.documented, "sandbox": fact.sandbox}
    return {**measured, **({"why": answer.why} if answer.why else {}), "raw": answer.raw}
