"""The reference page, made from the parser so that it cannot drift: ``python3 -m fleet_cloud.reference``."""

import argparse
from collections.abc import Iterator

from fleet_cloud.cli import COMMANDS, build_parser
from fleet_cloud.options import FLAGS

_HEAD = """\
# fleet-cloud

<!-- Made by python3 -m fleet_cloud.reference (in scripts/); do not edit. -->

Sets up AWS IoT Core for a fleet, from a workstation. It needs Python 3.11, the `aws` command (version 1 or 2) and
`openssl`; nothing else. How to use it on an account: [set up the cloud](../how-to/set-up-the-cloud.md).

The answer goes to stdout, everything else to stderr. Exit status: 0 success, 1 failure or a difference from what should
be there, 2 usage error, 130 interrupted. With `--json` a failure prints `{"error": {"code", "title", "remedy"}}`, and
for a failed command also `command`, `said` (its output) and `cause` (the likely cause).
"""

_GLOBAL = """\
## For every command

These may come before or after the command's name. The region is the first that is set: `--region`, `AWS_REGION`,
`AWS_DEFAULT_REGION`, the profile's. The endpoint: `--endpoint-url`, `AWS_ENDPOINT_URL_IOT` (`_IAM`, `_STS`),
`AWS_ENDPOINT_URL`. Both are written out in every `aws` command, because versions of the AWS CLI differ in which of
them they read.

A dry run asks AWS what is there (shown as `# asked:`) and prints the rest as a shell script that would do it.
"""


def page() -> str:
    """Returns the page."""
    parts = [_HEAD]
    parser = build_parser()
    for command in COMMANDS:
        own = parser
        for word in command.NAME:
            own = _within(own, word)
        flags = [action for action in own._actions if _is_own(action)]  # noqa: SLF001 - argparse has no other way to its flags
        usage = " ".join(["fleet-cloud", *command.NAME, *map(_usage, flags)])
        parts += [
            f"## {' '.join(command.NAME)}\n",
            f"```\n{usage}\n```\n",
            _text(command.DESCRIPTION),
        ]
        parts += ["\n".join(_table(flags)) + "\n"] if flags else []
    shared = [action for action in parser._actions if _is_shared(action)]  # noqa: SLF001 - as above
    parts += [_GLOBAL, "\n".join(_table(shared))]
    return "\n".join(parts) + "\n"


def _within(parser: argparse.ArgumentParser, word: str) -> argparse.ArgumentParser:
    for action in parser._actions:  # noqa: SLF001 - as above
        if isinstance(action, argparse._SubParsersAction):  # noqa: SLF001 - as above
            found: argparse.ArgumentParser = action.choices[word]
            return found
    raise LookupError(word)


def _is_shared(action: argparse.Action) -> bool:
    return bool({flag.name for flag in FLAGS} & set(action.option_strings))


def _is_own(action: argparse.Action) -> bool:
    if isinstance(action, argparse._SubParsersAction):  # noqa: SLF001 - as above
        return False
    shared = {flag.name for flag in FLAGS} | {"--help"}
    return not shared & set(action.option_strings)


def _usage(action: argparse.Action) -> str:
    if not action.option_strings:
        word = _value(action)
        return {"*": f"[{word}...]", "?": f"[{word}]"}.get(str(action.nargs), word)
    words = " ".join(filter(None, [_flag(action), _value(action)]))
    return words if action.required else f"[{words}]"


def _flag(action: argparse.Action) -> str:
    """Returns a flag's long name, of one that can be taken back both."""
    both = isinstance(action, argparse.BooleanOptionalAction)
    return "|".join(action.option_strings if both else action.option_strings[-1:])


def _value(action: argparse.Action) -> str:
    """Returns the word for what is given, or what that may be."""
    return str(action.metavar or "|".join(map(str, action.choices or [])))


def _text(description: str) -> str:
    """Returns a description as Markdown: what is indented in a terminal is a code block here."""
    paragraphs = description.strip().split("\n\n")
    return (
        "\n\n".join(
            f"```\n{paragraph}\n```" if paragraph.startswith("  ") else paragraph
            for paragraph in paragraphs
        )
        + "\n"
    )


def _table(actions: list[argparse.Action]) -> Iterator[str]:
    yield from ("| flag | means |", "|---|---|")
    for action in actions:
        flag = " ".join(filter(None, [_flag(action), _value(action)])).replace("|", "\\|")
        meaning = (action.help or "") % {"default": action.default}
        yield f"| `{flag}` | {meaning} |"


if __name__ == "__main__":
    print(page(), end="")
