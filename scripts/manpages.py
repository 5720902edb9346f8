"""The manual pages, from the parsers and from what the settings say of themselves: plain man(7), no date in them.

``scripts/reference.py`` writes them to packaging/man; a test compares.
"""

import argparse
import itertools
import re
from collections.abc import Callable, Iterator, Mapping

from fleet_agent import __version__
from fleet_agent.cli.examples import EXAMPLES
from fleet_agent.cli.parser import command_line
from fleet_agent.errors import Exit
from fleet_cloud.cli import COMMANDS, EPILOG, build_parser
from fleet_cloud.cli import DESCRIPTION as CLOUD

EXIT = {
    Exit.DONE: "done",
    Exit.USAGE: "wrong usage",
    Exit.UNREACHABLE: "endpoint not reachable, name not resolved, time-out, clock never set",
    Exit.CANNOT_WRITE: "the state directory cannot be written, or lies in memory; a file is in the way",
    Exit.TEMPORARY: "refused for now: throttled, a server error; or another agent holds the lock",
    Exit.REFUSED: "AWS refused: policy, hook, template, inactive certificate",
    Exit.WRONG_ON_DEVICE: "wrong on the device: configuration, PEM, key that is not the certificate's, "
    "expired claim, CA, CSR",
}

FILES = {
    "/etc/fleet-agent/config.yaml": "The configuration; see `fleet-agent.yaml(5)`.",
    "/etc/fleet-agent/config.d/*.yaml": "Drop-ins: they go over it in the order of their names.",
    "/etc/fleet-agent/claim/": "The claim: certificate and private key, shared by a batch of devices.",
    "/var/lib/fleet-agent/": "The state: keys and certificates of this device, and the ledger of every certificate "
    "it ever got. Keep it over upgrades; whoever copies it copies the device.",
    "/run/fleet-agent/status.json, identity.json": "What the agent does, and who the device is. No secret.",
}

ENVIRONMENT = {
    "FLEET_AGENT_CONFIG": "The configuration file, where `--config` is not given.",
    "CREDENTIALS_DIRECTORY": "Where `credential:NAME` is found; systemd sets it.",
    "RUNTIME_DIRECTORY": "Where status.json and identity.json go; systemd sets it.",
}


SUPERFLUOUS = r"(\n\.S[HS] [^\n]*\n)\.PP\n"  # a section begins a paragraph anyway


def escape(text: str) -> str:
    """Text as roff takes it; every hyphen is a minus, so that flags can be copied out of the page."""
    escaped = text.replace("\\", "\\e").replace("-", "\\-")
    return re.sub(r"^([.'])", r"\\&\1", escaped, flags=re.MULTILINE)


def prose(text: str) -> str:
    """Text with `code` in it, code in bold; long paths may break after a slash."""
    parts = re.split(r"``?([^`]+)``?", " ".join(text.split()))
    styled = [
        f"\\fB{escape(part)}\\fR" if odd % 2 else escape(part) for odd, part in enumerate(parts)
    ]
    return re.sub(r"(?<=[A-Za-z0-9])/(?=[A-Za-z0-9.])", r"/\\:", "".join(styled))


def page(name: str, section: int, summary: str, body: Iterator[str]) -> str:
    """One page; its body is paragraphs of roff."""
    head = f'.TH {name.upper()} {section} "" "fleet\\-agent {__version__}" "fleet\\-agent"\n'
    comment = '.\\" Made by scripts/reference.py; do not edit.\n'
    text = "".join((f"\n.SH NAME\n{escape(name)} \\- {prose(summary)}\n", *body))
    # Ragged right, no hyphens: a flag cut in two cannot be copied.
    return f"{comment}{head}.nh\n.ad l" + re.sub(SUPERFLUOUS, r"\1", text)


def paragraphs(text: str) -> Iterator[str]:
    """Paragraphs; indented lines are shown as they are."""
    for block in re.split(r"\n\s*\n", text.strip("\n")):
        for is_shown, lines in itertools.groupby(
            block.splitlines(), lambda line: line.startswith("  ")
        ):
            part = "\n".join(lines)
            yield (
                f".PP\n.RS 4\n.nf\n{escape(part)}\n.fi\n.RE\n"
                if is_shown
                else f".PP\n{prose(part)}\n"
            )


def tagged(tag: str, text: str) -> str:
    """A term and what it means."""
    return f".TP\n{tag}\n{prose(text) or 'See above.'}\n"


def flag(action: argparse.Action) -> str:
    """A flag or argument as the page's term has it."""
    if not action.option_strings:
        return f"\\fI{escape(str(action.metavar or action.dest))}\\fR"
    names = ", ".join(f"\\fB{escape(string)}\\fR" for string in action.option_strings)
    if action.nargs == 0:
        return names
    value = action.metavar or "|".join(map(str, action.choices or ())) or action.dest.upper()
    return f"{names} \\fI{escape(str(value))}\\fR"


def options(actions: list[argparse.Action]) -> Iterator[str]:
    """Flags and arguments with their meaning."""
    for action in actions:
        text = (action.help or "") % {"default": action.default}
        if not text and action.choices:
            text = "One of " + ", ".join(f"`{choice}`" for choice in action.choices) + "."
        yield tagged(flag(action), text[:1].upper() + text[1:])


def verbs(parser: argparse.ArgumentParser) -> dict[str, argparse.ArgumentParser]:
    """The commands directly below a parser."""
    for action in parser._actions:  # noqa: SLF001 - argparse has no other way to them
        if isinstance(action, argparse._SubParsersAction):  # noqa: SLF001 - as above
            return dict(action.choices)
    return {}


def shown(
    parser: argparse.ArgumentParser, without: frozenset[str] = frozenset()
) -> list[argparse.Action]:
    """A command's own flags and arguments, without the hidden ones and those told elsewhere."""
    return [
        action
        for action in parser._actions  # noqa: SLF001 - as above
        if action.help is not argparse.SUPPRESS
        and not isinstance(action, argparse._SubParsersAction | argparse._HelpAction)  # noqa: SLF001 - as above
        and not without & set(action.option_strings)
    ]


def agent_1() -> str:
    """fleet-agent(1)."""
    top = command_line()
    commands = verbs(top)
    everywhere = shared(list(commands.values()))
    by_name = {
        action.option_strings[-1]: action
        for action in shown(commands["provision"])
        if action.option_strings
    }

    def body() -> Iterator[str]:
        yield ".SH SYNOPSIS\n\\fBfleet\\-agent\\fR \\fICOMMAND\\fR [\\fIFLAGS\\fR]\n"
        yield f".SH DESCRIPTION\n{prose(top.description or '')}\n"
        yield from paragraphs(
            "The answer goes to stdout, everything else to stderr. `--json` is stable."
        )
        yield ".SH COMMANDS\n"
        for name, parser in commands.items():
            yield f".SS {escape(name)}\n{prose(parser.description or '')}\n"
            yield from options(
                shown(parser, everywhere | frozenset(by_name) & settings_flags(parser))
            )
        yield ".SH OPTIONS\nFor every command:\n"
        yield from options([by_name[name] for name in by_name if name in everywhere])
        yield ".PP\nSettings, over the configuration file or instead of it, where a command uses them:\n"
        yield from options(
            [by_name[name] for name in by_name if name in settings_flags(commands["provision"])]
        )
        yield ".SH EXIT STATUS\n"
        yield from (tagged(f"\\fB{int(status)}\\fR", text) for status, text in EXIT.items())
        yield ".PP\nCommands with other exit statuses, such as \\fBstatus\\fR, list them above.\n"
        yield ".SH ENVIRONMENT\n"
        yield from (tagged(f"\\fB{escape(name)}\\fR", text) for name, text in ENVIRONMENT.items())
        yield ".SH FILES\n"
        yield from (tagged(f"\\fI{escape(name)}\\fR", text) for name, text in FILES.items())
        yield ".SH EXAMPLES\n"
        for examples in EXAMPLES.values():
            for comment, command in examples:
                yield from paragraphs(f"{comment[:1].upper()}{comment[1:]}:\n\n  {command}")
        yield ".SH SEE ALSO\n\\fBfleet\\-agent.yaml\\fR(5), \\fBfleet\\-cloud\\fR(1), \\fBsystemctl\\fR(1)\n"

    return page(
        "fleet-agent", 1, "identity and telemetry for a device of a fleet on AWS IoT Core", body()
    )


def shared(parsers: list[argparse.ArgumentParser]) -> frozenset[str]:
    """The flags that every one of these has, by their last names."""
    own = [
        {action.option_strings[-1] for action in shown(parser) if action.option_strings}
        for parser in parsers
    ]
    return frozenset(set.intersection(*own))


def settings_flags(parser: argparse.ArgumentParser) -> frozenset[str]:
    """The flags that stand for settings."""
    return frozenset(
        action.option_strings[-1]
        for group in parser._action_groups  # noqa: SLF001 - as above
        if (group.title or "").startswith("settings")
        for action in group._group_actions  # noqa: SLF001 - as above
        if action.help is not argparse.SUPPRESS
    )


def cloud_1() -> str:
    """fleet-cloud(1)."""
    top = build_parser()
    everywhere = frozenset(
        action.option_strings[-1] for action in shown(top) if action.option_strings
    )

    def body() -> Iterator[str]:
        yield ".SH SYNOPSIS\n\\fBfleet\\-cloud\\fR [\\fIFLAGS\\fR] \\fICOMMAND\\fR ...\n"
        yield f".SH DESCRIPTION\n{prose(CLOUD)}\n"
        yield from paragraphs(EPILOG)
        yield ".SH COMMANDS\n"
        for command in COMMANDS:
            parser = top
            for word in command.NAME:
                parser = verbs(parser)[word]
            yield f".SS {escape(' '.join(command.NAME))}\n"
            yield from paragraphs(command.DESCRIPTION)
            yield from options(shown(parser, everywhere))
        yield ".SH OPTIONS\nFor every command, before or after its name:\n"
        yield from options(shown(top))
        yield ".SH SEE ALSO\n\\fBfleet\\-agent\\fR(1), \\fBaws\\fR(1)\n"

    return page("fleet-cloud", 1, "sets up AWS IoT Core for a fleet of devices", body())


LONG = 70
Row = tuple[str, str, str, str, str]


def _default(text: str) -> str:
    """A default in a few words: a whole section's are with its keys."""
    if text == "required":
        return text
    return f"default {text}" if len(text) < LONG else "defaults as told with its keys"


def yaml_5(tables: Iterator[tuple[str, str, list[Row]]]) -> str:
    """fleet-agent.yaml(5).

    Args:
        tables: A section's title, what it is, and its rows: key, type, default, meaning, example.
    """

    def body() -> Iterator[str]:
        yield ".SH SYNOPSIS\n\\fI/etc/fleet\\-agent/config.yaml\\fR\n.br\n"
        yield "\\fI/etc/fleet\\-agent/config.d/*.yaml\\fR\n.SH DESCRIPTION\n"
        yield from paragraphs(YAML)
        for title, text, rows in tables:
            yield f".SH {escape(title.replace('`', ''))}\n{prose(text)}\n"
            for key, kind, default, meaning, example in rows:
                sentence = meaning.rstrip(".")
                said = f"{kind}; {_default(default)}"
                yield tagged(f"\\fB{escape(key)}\\fR", f"{sentence}. ({said})")
                yield f".RS 7\n.nf\n{escape(example)}\n.fi\n.RE\n"
        yield ".SH SEE ALSO\n\\fBfleet\\-agent\\fR(1), \\fBsystemd.exec\\fR(5)\n"

    return page("fleet-agent.yaml", 5, "configuration of fleet-agent", body())


YAML = """\
One YAML document. Drop-ins in config.d go over it in the order of their names, flags over both. Mappings are merged
key by key; lists, values and template parameters are replaced whole. Unknown keys and keys written twice are errors.

A duration is a string with units, biggest first: `60s`, `1h30m`, `7d`; a size one such as `64MiB`. Relative paths
start at the folder of config.yaml. A secret is named, never written here: `credential:NAME` stands for a file in
$CREDENTIALS_DIRECTORY, which systemd fills from `LoadCredential=`.

`fleet-agent config check` tells every error at once, with its line; `fleet-agent config schema` prints a JSON Schema
for editors.
"""

PAGES: Mapping[str, Callable[[], str]] = {"fleet-agent.1": agent_1, "fleet-cloud.1": cloud_1}
