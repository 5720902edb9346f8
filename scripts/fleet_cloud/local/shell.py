"""Commands as values: printed for people to copy, or run.

A command that is printed and one that is run are the same object, so what ``--dry-run`` shows is what would happen.
An output that a later command needs (an ARN that AWS makes up) goes into a :class:`Variable`: a shell variable in
print, a value when run.
"""

import base64
import dataclasses
import os
import shutil
import subprocess
from collections.abc import Callable, Mapping
from pathlib import Path

from fleet_cloud.console import Console
from fleet_cloud.errors import COMMAND_FAILED, CommandError, FleetCloudError
from fleet_cloud.local import files, quoting

# The AWS CLI itself gives up after a minute per try; nothing here takes longer than its five tries.
TIMEOUT_SECONDS = 360

_TRACEBACK = "Traceback (most recent call last)"

_INSTALL = {
    "aws": "install the AWS CLI, version 1 or 2: sudo apt-get install awscli",
    "openssl": "install it: sudo apt-get install openssl",
}

_ENVIRONMENT = {
    # Version 2 sends output through a pager and may ask for missing parameters, which nobody would answer here.
    "AWS_PAGER": "",
    "AWS_CLI_AUTO_PROMPT": "off",
    # In a console that is not UTF-8 the AWS CLI could not print what is in the registry.
    "PYTHONUTF8": "1",
    "AWS_CLI_OUTPUT_ENCODING": "UTF-8",
}


@dataclasses.dataclass(frozen=True)
class Variable:
    """What an earlier command printed."""

    name: str


Word = str | Variable


@dataclasses.dataclass(frozen=True, kw_only=True)
class Command:
    """One command line.

    ``into`` keeps what it prints, for later commands. ``secret_file`` is where its output goes when that is a
    private key: in print a redirection that makes the file 0600 and refuses an existing one; run, the same with more
    care (``files.create_secret``).
    """

    words: tuple[Word, ...]
    into: Variable | None = None
    secret_file: Path | None = None

    def __str__(self) -> str:
        """Returns a line for a POSIX shell."""
        line = " ".join(
            f'"${word.name}"' if isinstance(word, Variable) else quoting.word(word)
            for word in self.words
        )
        if self.secret_file:
            return f"(umask 077; set -C; {line} > {quoting.word(self.secret_file)})"
        return f"{self.into.name}=$({line})" if self.into else line


# Runs a command with these values of its variables, returns what it printed, or raises CommandError.
Program = Callable[[Command, Mapping[str, str]], str]


class Shell:
    """Runs commands, or prints those that would change something.

    Args:
        console: Where commands are shown.
        dry_run: Print instead of run what changes anything.
    """

    def __init__(self, console: Console, *, dry_run: bool) -> None:
        self.console = console
        self.dry_run = dry_run
        self._variables: dict[str, str] = {}
        self._in_process: dict[str, Program] = {}

    def take_over(self, program: str, run: Program) -> None:
        """Runs the commands of a program in this process from now on."""
        self._in_process[program] = run

    def need(self, *programs: str) -> None:
        """Checks that these programs are installed, before anything is started.

        Raises:
            FleetCloudError: One is missing; says how to get it.
        """
        for program in programs:
            if not shutil.which(program):
                raise FleetCloudError(
                    f"the command {program} is not installed",
                    remedy=_INSTALL[program],
                    code="program-missing",
                )

    def show(self, command: Command) -> None:
        """Shows a command that only reads and is about to run."""
        if self.dry_run:
            self.console.script(quoting.comment(f"asked: {command}"))
        else:
            self.console.running(command)

    def change(self, command: Command) -> str:
        """Runs a command that changes something, or prints it in a dry run; returns what it printed.

        Raises:
            CommandError: It failed; ``said`` has its words.
            FleetCloudError: The file for its output exists, or cannot be written.
        """
        if self.dry_run:
            self.console.script(str(command))
            return ""
        self.console.running(command)
        printed = self.run(command)
        if command.secret_file:
            files.create_secret(command.secret_file, printed)
            return ""
        return printed

    def make_folder(self, folder: Path, mode: int) -> None:
        """Makes a folder unless it exists, or prints that in a dry run."""
        if not self.dry_run:
            files.make_folder(folder, mode)
        elif not folder.is_dir():
            self.console.script(f"mkdir -p -m {mode:o} {quoting.word(folder)}")

    def make_private(self, path: Path) -> None:
        """Makes a file private (0600), or prints that in a dry run."""
        if self.dry_run:
            self.console.script(f"chmod 600 {quoting.word(path)}")
        else:
            files.make_private(path)

    def write_public(self, path: Path, text: str) -> None:
        """Writes a file without secrets, or prints that in a dry run."""
        if self.dry_run:
            self.console.script(quoting.written(path, text))
        else:
            files.write_public(path, text)

    def write_upload(self, path: Path, content: bytes) -> None:
        """Writes a file that a later command sends to AWS, or prints that in a dry run."""
        if self.dry_run:
            lines = base64.encodebytes(content).decode()
            self.console.script(quoting.written(path, lines, "base64 -d"))
        else:
            files.write_upload(path, content)

    def run(self, command: Command) -> str:
        """Runs a command and returns what it printed.

        Raises:
            CommandError: It failed; ``said`` has its words.
        """
        run = self._in_process.get(str(command.words[0]), _run)
        printed = run(command, self._variables)
        if command.into:
            self._variables[command.into.name] = printed.strip()
        return printed

    def value(self, variable: Variable) -> str:
        """Returns what a command that was run put into this variable; in a dry run its shell spelling."""
        return self._variables.get(variable.name, f"${variable.name}")


def _run(command: Command, values: Mapping[str, str]) -> str:
    """Runs a command as a process of its own."""
    words = [values[word.name] if isinstance(word, Variable) else word for word in command.words]
    try:
        done = subprocess.run(
            [_encoded(word, command) for word in words],
            check=False,
            capture_output=True,
            encoding="utf-8",
            errors="replace",
            stdin=subprocess.DEVNULL,
            timeout=TIMEOUT_SECONDS,
            env={**os.environ, **_ENVIRONMENT},
        )
    except OSError as error:
        raise CommandError(
            f"{words[0]} is installed but does not start",
            remedy=f"check that this works: {words[0]} --version",
            code="cannot-start",
            command=str(command),
            said=str(error.strerror),
        ) from error
    except subprocess.TimeoutExpired as error:
        raise CommandError(
            f"{words[0]} did not end within {TIMEOUT_SECONDS} seconds",
            remedy="check the network and the proxy (HTTPS_PROXY), then run this again",
            code="time-out",
            command=str(command),
            said="",
        ) from error
    if done.returncode:
        raise CommandError(
            f"{' '.join(words[:3])} failed",
            remedy="run the command above by hand to find out more",
            code=COMMAND_FAILED,
            command=str(command),
            said=_reason(done.stderr) or f"nothing (exit status {done.returncode})",
        )
    return done.stdout


def _reason(said: str) -> str:
    """Returns what a program wrote on stderr; of a Python program's traceback, as aws has them too, the exception."""
    written = said.strip()
    if _TRACEBACK not in written:
        return written
    return written.splitlines()[-1]


def _encoded(word: str, command: Command) -> bytes:
    """Returns a word as the program gets it.

    Raises:
        CommandError: No program can get it.
    """
    if "\0" in word:
        raise CommandError(
            f"an argument of {command.words[0]} cannot contain a NUL character",
            remedy="check the text in the command above",
            code="cannot-start",
            command=str(command),
            said="",
        )
    try:
        return os.fsencode(word)
    except UnicodeEncodeError:  # not in this console's encoding: programs take UTF-8
        return word.encode("utf-8", "replace")
