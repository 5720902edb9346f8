"""docs/reference/doctor.md has every fault that the tests put in."""

from support import seededtable


def test_the_page_is_current() -> None:
    said = seededtable.PAGE.read_text(encoding="utf-8")
    assert said == seededtable.page(), f"run: {seededtable.__doc__}"


def test_there_are_thirty_and_more() -> None:
    assert seededtable.count() >= 30
