"""What is printed for a shell does what it says, whatever stands in it, and shows what it is."""

import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fleet_cloud.local import quoting
from fleet_cloud.printable import printable

HOSTILE = [
    "it's",
    "$(touch owned)",
    "`touch owned`",
    "a\nb",
    "\n",
    "\x1b]0;title\x07\x1b[2J",
    "tab\there",
    "\u202egpj.exe",
    "\x7f\x80\u2028",
    "~root",
    "-n",
    "!",
    "END",
]


def shell(script: str, folder: Path) -> str:
    done = subprocess.run(
        ["sh", "-eu"], input=script.encode(), cwd=folder, capture_output=True, check=True
    )
    return done.stdout.decode()


@pytest.mark.parametrize("text", [*HOSTILE, ""])
def test_quoted_word_arrives_as_it_was_and_is_shown_without_control_characters(
    text: str, tmp_path: Path
) -> None:
    quoted = quoting.word(text)
    assert quoted.replace("\n", "").isprintable()
    assert shell(f"printf %s {quoted}", tmp_path) == text
    assert [*tmp_path.iterdir()] == []


def test_path_is_no_flag() -> None:
    assert quoting.line(["chmod", "600", Path("-rf")]) == "chmod 600 ./-rf"
    assert quoting.word("-rf") == "-rf"


@given(st.text(st.characters(blacklist_characters="\0", blacklist_categories=["Cs"])))
def test_any_text_survives_quoting(text: str) -> None:
    assert quoting.word(text).replace("\n", "").isprintable()
    done = subprocess.run(["sh", "-c", f"printf %s {quoting.word(text)}"], capture_output=True)  # noqa: PLW1510
    assert done.stdout.decode() == text


@pytest.mark.parametrize("text", HOSTILE)
def test_comment_is_no_more_than_a_comment(text: str, tmp_path: Path) -> None:
    assert shell(quoting.comment(f"asked: {text}\ntouch owned"), tmp_path) == ""
    assert [*tmp_path.iterdir()] == []


@pytest.mark.parametrize(
    "text",
    ["a\n", "END\ntouch owned\n", "END\nEND_\ntouch owned\n", "no end", "", "\x1b[2J\n", "\n"],
)
def test_written_file_holds_its_text_and_nothing_of_it_is_run(text: str, tmp_path: Path) -> None:
    script = quoting.written(tmp_path / "a file", text)
    assert "\x1b" not in script
    shell(script, tmp_path)
    assert [*tmp_path.iterdir()] == [tmp_path / "a file"]
    assert (tmp_path / "a file").read_text() == text


@pytest.mark.parametrize("text", HOSTILE)
def test_printable_text_is_one_line_without_control_characters(text: str) -> None:
    assert printable(f"a {text} b").isprintable()


def test_text_that_is_printable_stays_as_it_is() -> None:
    assert printable("pump 7, 東京, naïve — 5 %") == "pump 7, 東京, naïve — 5 %"
    assert printable("\udcff") == "\\udcff"
