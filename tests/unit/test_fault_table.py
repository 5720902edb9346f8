"""docs/reference/faults.md says what the tests of faults saw."""

from support import faulttable
from support.faulttable import first_line


def test_the_page_is_current() -> None:
    said = faulttable.PAGE.read_text(encoding="utf-8")
    assert said == faulttable.page(), "python tests/support/faulttable.py"


def test_every_step_has_rows() -> None:
    page = faulttable.page()
    for step in faulttable.STEPS:
        assert f"## {step[:1].upper()}{step[1:]}\n" in page


def test_a_line_without_what_is_another_one_each_time() -> None:
    said = (
        "  0.1 s  clock          2026-11-21T15:13:12Z\n"
        "           No answer to RegisterThing within 20 s. Trying again in 3 s.\n"
    )
    assert first_line(said) == "No answer to RegisterThing within N s."
    assert first_line("fleet-agent: claim session: localhost:8883 does not answer: why.\n  x") == (
        "HOST:PORT does not answer: why."
    )
    assert first_line("  0.1 s  current        0001\n") == ""
