"""One row of the table of facts. Pure."""

from dataclasses import dataclass

# How sure a claim is, from AWS's own words to none at all.
MARKS = {
    "D": "documented by AWS",
    "C": "seen in code: an SDK, an agent of AWS's, an emulator that words its answers after the service",
    "I": "seen in a public report",
    "N": "inferred",
    "U": "unknown",
}

_SWITCH = "sandbox: --set {id}='{answer}', or --like FILE"


@dataclass(frozen=True, kw_only=True)
class Fact:
    """One question, and its answers.

    Attributes:
        id: its name; where the sandbox has a switch for it, the switch's.
        asks: the question, in words.
        stated: what is said of it.
        mark: how sure that is, of ``MARKS``.
        documented: the answer that this comes to; None where nothing is said.
        sandbox: the sandbox's answer, with its switches as they are by default.
        how: how it is measured.
        follows: what in agent or companion follows from another answer.
        has_switch: whether the sandbox can do as was measured.
    """

    id: str
    asks: str
    stated: str
    mark: str
    documented: str | None
    sandbox: str
    how: str
    follows: str
    has_switch: bool = False

    def consequences(self, answer: str) -> list[str]:
        """Gives what has to be done where AWS answers so."""
        switch = [_SWITCH.format(id=self.id, answer=answer)] if self.has_switch else []
        return [*switch, self.follows or "sandbox: do the same"]
