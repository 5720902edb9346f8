"""The outcome of a verb, as a value; and the one place where values become text or JSON."""

import json
import sys
from collections.abc import Iterable, Mapping, Sequence

from fleet_agent.cli import terminal
from fleet_agent.cli.terminal import Line
from fleet_agent.process import streams
from fleet_agent.record import record


@record
class Outcome:
    """The outcome of a verb.

    Args:
        data: For programs, without the schema's number; None where ``--json`` changes nothing.
        lines: For people.
        text: What stdout gets as it stands, in place of lines: a document.
        notes: For people, on stderr, with ``--json`` too.
        status: The exit status.
    """

    data: Mapping[str, object] | None = None
    lines: Iterable[Line] = ()
    text: str | None = None
    notes: Sequence[Line] = ()
    status: int = 0


def write(outcome: Outcome, *, as_json: bool) -> None:
    """Writes the answer to stdout, and the notes to stderr.

    Raises:
        OutputError: Stdout does not take it; the notes are written all the same.
    """
    try:
        if as_json and outcome.data is not None:
            answer_json(outcome.data)
        elif outcome.text is not None:
            streams.answer(outcome.text.removesuffix("\n"))
        else:
            show(*outcome.lines)
    finally:
        note(*outcome.notes)


def answer_json(data: Mapping[str, object]) -> None:
    """Writes an answer for programs: one line, stable, versioned."""
    streams.answer(json.dumps({"schema": 1, **data}))


def show(*lines: Line) -> None:
    """Writes lines to stdout now; a verb that takes its time shows what it has."""
    if lines:
        style = terminal.Style(sys.stdout)
        streams.answer("\n".join(map(style, lines)))


def note(*lines: Line) -> None:
    """Writes lines to stderr now."""
    if lines:
        style = terminal.Style(sys.stderr)
        streams.print_error("\n".join(map(style, lines)))
