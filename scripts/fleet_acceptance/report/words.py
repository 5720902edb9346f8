"""The report for people: fact by fact, what follows, and what did not work. Pure."""

from collections.abc import Iterator

from fleet_acceptance.facts.fact import MARKS, Fact
from fleet_acceptance.facts.table import BY_ID, FACTS
from fleet_acceptance.report.result import Answer, Result


def verdict(fact: Fact, answer: Answer | None) -> str:
    """Gives how an answer compares with what is said and with what the sandbox does."""
    if answer is None or answer.answer is None:
        return "not measured"
    as_sandbox = answer.answer == fact.sandbox
    if fact.documented is None:
        said = "nothing is said of it"
    else:
        said = "as documented" if answer.answer == fact.documented else "NOT AS DOCUMENTED"
        if fact.mark != "D":
            said = said.replace("documented", "thought").replace("DOCUMENTED", "THOUGHT")
    return f"{said}; {'as the sandbox does' if as_sandbox else 'DIFFERENT from the sandbox'}"


def report(result: Result) -> str:
    """Gives the whole report, in Markdown."""
    return "\n".join(_lines(result)) + "\n"


def _lines(result: Result) -> Iterator[str]:
    yield f"# Acceptance of {result.region}, {result.date}"
    yield ""
    measured = [answer for answer in result.answers.values() if answer.answer is not None]
    different = result.different()
    yield (
        f"Run {result.run} against {result.against}: {len(result.steps)} steps, {len(result.failures)} failed; "
        f"{len(measured)} facts measured, {len(different)} different from the sandbox."
    )
    yield ""
    yield from _different(result)
    yield from _steps(result)
    yield from _facts(result)
    yield "## Figures"
    yield ""
    yield from (f"- {name}: {value}" for name, value in result.figures.items())
    yield ""
    yield "## Left in the account"
    yield ""
    yield from (f"- {each}" for each in result.left or ["nothing"])


def _different(result: Result) -> Iterator[str]:
    yield "## Different, and what follows"
    yield ""
    found = result.different()
    for fact, answer in found:
        yield f"- **{fact.id}**: {fact.asks}: `{answer}`; the sandbox: `{fact.sandbox}`"
        yield from (f"  - {line}" for line in fact.consequences(answer))
    if not found:
        yield "nothing: the sandbox does as was measured"
    yield ""


def _steps(result: Result) -> Iterator[str]:
    yield "## What had to work"
    yield ""
    for step in result.steps:
        yield f"- {'FAILED' if step.failed else 'ok'}: {step.section}: {step.title} ({step.seconds:.1f} s)"
        yield from (f"  > {line}" for line in step.failed.splitlines())
    yield ""


def _facts(result: Result) -> Iterator[str]:
    yield "## Fact by fact"
    yield ""
    yield "How sure a claim is: " + "; ".join(f"{mark} {words}" for mark, words in MARKS.items())
    yield ""
    for fact in FACTS:
        answer = result.answers.get(fact.id)
        if answer is None:
            continue
        yield f"### {fact.id}: {verdict(fact, answer)}"
        yield ""
        yield f"- asked: {fact.asks}"
        yield f"- said ({fact.mark}): {fact.stated}"
        yield f"- measured: {fact.how}"
        yield (
            f"- answer: `{answer.answer}`"
            if answer.answer is not None
            else f"- no answer: {answer.why}"
        )
        yield ""


def summary(result: Result) -> Iterator[str]:
    """Yields the few lines that a terminal gets."""
    for step in result.failures:
        yield f"FAILED {step.section}: {step.title}"
    for fact, answer in result.different():
        yield f"DIFFERENT {fact.id}: {answer!r}; the sandbox: {fact.sandbox!r}"
        yield from (f"    {line}" for line in fact.consequences(answer))
    for name, each in result.answers.items():
        if each.answer is None:
            yield f"not measured {name}: {each.why}"
    yield from (f"LEFT {left}" for left in result.left)


def consequences(fact: str, answer: str) -> list[str]:
    """Gives what follows from an answer to a fact."""
    return BY_ID[fact].consequences(answer)
