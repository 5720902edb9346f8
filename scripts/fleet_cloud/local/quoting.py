"""Text for a POSIX shell, quoted here and nowhere else: words, comments, and files that a script writes. Pure."""

import itertools
import os
import shlex
from collections.abc import Iterable
from pathlib import Path

from fleet_cloud.printable import printable


def word(text: str | Path) -> str:
    """Returns one word: what is not printable is spelled as an octal number, so that a terminal can show it.

    A path never reads as a flag.
    """
    given = str(text)
    if isinstance(text, Path) and given.startswith("-"):
        given = f"./{given}"
    runs = ("".join(run) for _, run in itertools.groupby(given, _is_shown))
    return (
        "".join(shlex.quote(run) if _is_shown(run[0]) else _spelled(run) for run in runs) or "''"
    )


def line(words: Iterable[str | Path]) -> str:
    """Returns a command."""
    return " ".join(word(text) for text in words)


def comment(text: str) -> str:
    """Returns a comment that ends where its line does, whatever the text has in it."""
    return f"# {printable(text)}"


def written(path: Path, text: str, command: str = "cat") -> str:
    """Returns the lines that put a text into a file: a heredoc that no line of the text can end.

    Args:
        path: The file.
        text: What it gets.
        command: What the text goes through.
    """
    lines, end = text.split("\n"), "END"
    if lines[-1] or not all(map(str.isprintable, lines)):
        return f"printf %s {word(text)} | {command} > {word(path)}"
    while end in lines:
        end += "_"
    return f"{command} > {word(path)} <<'{end}'\n{text}{end}"


def _is_shown(character: str) -> bool:
    # A line break at the end of $(...) would be lost, and a terminal can show it.
    return character.isprintable() or character == "\n"


def _spelled(text: str) -> str:
    try:
        encoded = os.fsencode(text)
    except UnicodeEncodeError:
        encoded = text.encode("utf-8", "surrogatepass")
    octal = "".join(f"\\{byte:03o}" for byte in encoded)
    return f"\"$(printf '{octal}')\""
