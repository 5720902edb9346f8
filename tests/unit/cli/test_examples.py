"""What ``--help`` tells people to type can be typed."""

import shlex

import pytest

from fleet_agent import cli
from fleet_agent.cli.examples import EXAMPLES
from fleet_agent.cli.parser import VERBS, command_line


@pytest.mark.parametrize("verb", VERBS)
def test_help_of_each_verb_shows_examples(verb: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        cli.main([verb, "--help"])
    assert ended.value.code == 0
    shown = capsys.readouterr().out.partition("\nexamples:\n")[2]
    assert f"  fleet-agent {verb}" in shown, f"add some to cli/examples.py for {verb}"


def test_help_shows_examples(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        cli.main(["--help"])
    assert "\nexamples:\n" in capsys.readouterr().out


@pytest.mark.parametrize(
    "command", [command for verb in ("", *VERBS) for _, command in EXAMPLES.get(verb, ())]
)
def test_each_example_is_understood(command: str) -> None:
    words = shlex.split(command.replace("\\\n", " "), comments=True)
    ends = [index for index, word in enumerate(words) if word in {"|", ">", "&&"}]
    arguments = command_line().parse_args(words[1 : ends[0] if ends else None])
    assert words[0] == "fleet-agent"
    # The daemon has its command line read elsewhere.
    assert words[1] == "run" or callable(arguments.run)
