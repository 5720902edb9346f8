"""``scripts/acceptance`` as a person runs it: a whole run, one with switches turned, interrupted ones."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from fleet_acceptance import plan
from fleet_acceptance.facts import rarely
from fleet_acceptance.facts.table import BY_ID
from fleet_acceptance.report.redact import found_in
from iot_sandbox.client import FaultClient
from iot_sandbox.launch import Sandbox
from iot_sandbox.limits import RULES
from iot_sandbox.switches import SWITCHES
from support.accounts import listing
from support.aws import aws_client

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

FIVE = {
    "token-twice": "409 Used",
    "template-missing": "404 ResourceNotFound",
    "csr-subject": "replaced",
    "device-configuration": "absent",
    "unsuback": "not held",
}
# The sections that show these.
SHOWN = ("measure-requests", "measure-templates", "measure-sessions")
USUAL = {name: fact for name, fact in BY_ID.items() if fact not in rarely.FACTS}


@dataclass(frozen=True)
class Done:
    """What a command left."""

    status: int
    stdout: str
    stderr: str
    folder: Path

    def result(self) -> dict[str, Any]:
        """The result that was written last."""
        (path,) = self.folder.glob("acceptance-*.json")
        found: dict[str, Any] = json.loads(path.read_text())
        return found


def command(*words: str | Path) -> list[str]:
    return [sys.executable, "-m", "fleet_acceptance", *map(str, words)]


def environment(root_dir: Path, more: dict[str, str] | None = None) -> dict[str, str]:
    return os.environ | {"PYTHONPATH": str(root_dir / "scripts")} | (more or {})


def acceptance(root_dir: Path, folder: Path, *words: str | Path) -> Done:
    done = subprocess.run(
        command("--out", folder, *words),
        env=environment(root_dir),
        capture_output=True,
        text=True,
        check=False,
        stdin=subprocess.DEVNULL,
        timeout=800,
    )
    return Done(done.returncode, done.stdout, done.stderr, folder)


def kept(folder: Path) -> str:
    """All that a run has left in its folder."""
    return "".join(path.read_text() for path in folder.rglob("*") if path.is_file())


def test_a_whole_run_against_a_sandbox_is_green(root_dir: Path, tmp_path: Path) -> None:
    done = acceptance(root_dir, tmp_path, "--against", "sandbox", "--devices", "3")
    assert done.status == 0, done.stderr[-4000:]
    found = done.result()
    assert {step["section"] for step in found["steps"]} == {
        "set-up",
        *(each.name for each in plan.chosen([]) if not each.name.startswith("measure-")),
    }
    assert [step for step in found["steps"] if step["failed"]] == []
    assert {name: each["answer"] for name, each in found["facts"].items()} == {
        name: fact.sandbox for name, fact in USUAL.items()
    }
    assert found["left"] == []
    assert "the account is as it was" in done.stderr
    assert {path.suffix for path in tmp_path.iterdir()} == {".json", ".md"}
    assert list(found_in(kept(tmp_path))) == []
    assert "123456789012" not in kept(tmp_path)


def test_five_switches_that_are_turned_are_named_and_turn_another_sandbox(
    root_dir: Path, tmp_path: Path
) -> None:
    turned = [f"--set={name}={position}" for name, position in FIVE.items()]
    first, second = tmp_path / "first", tmp_path / "second"
    measured = ("--against", "sandbox", *(word for each in SHOWN for word in ("--only", each)))
    done = acceptance(root_dir, first, *measured, "--", *turned)
    assert done.status == 3, done.stderr[-4000:]
    answers = {name: each["answer"] for name, each in done.result()["facts"].items()}
    assert {
        name: answer for name, answer in answers.items() if answer != BY_ID[name].sandbox
    } == FIVE
    (report,) = first.glob("*.md")
    named = report.read_text().split("## What had to work")[0]
    assert [name for name in BY_ID if f"**{name}**" in named] == sorted(
        FIVE, key=list(BY_ID).index
    )

    (file,) = first.glob("*.json")
    compared = acceptance(root_dir, tmp_path, "--compare", file)
    assert compared.status == 3
    assert compared.stdout.count("DIFFERENT: ") == 5
    listed = tmp_path / "known.json"
    listed.write_text(json.dumps([{"fact": n, "answer": a, "why": "so"} for n, a in FIVE.items()]))
    assert acceptance(root_dir, tmp_path, "--compare", file, "--known", listed).status == 0

    like = acceptance(root_dir, second, *measured, "--compare", file, "--", "--like", file)
    assert like.status == 0, like.stderr[-4000:]
    assert "0 differences" in like.stdout


# Every switch, somewhere else than it stands by itself.
TURNED = {
    "hook-limit": "3 s",
    "hook-calls": "2",
    "csr-subject": "replaced",
    "device-configuration": "null",
    "half-registered": "the thing",
    "reply-qos": "0",
    "reply-unasked": "not delivered",
    "policy-spread": "within 10 s",
    "jobs-omitted": "no member",
    "connect-refused": "closed",
    **{
        name: f"4{number:02} Turned"
        for number, name in enumerate(SWITCHES)
        if SWITCHES[name].refusal
    },
    **dict.fromkeys(RULES, "not held"),
}


@pytest.mark.thorough
def test_every_switch_that_is_turned_is_measured_so(root_dir: Path, tmp_path: Path) -> None:
    turned = [f"--set={name}={position}" for name, position in TURNED.items()]
    assert TURNED.keys() == SWITCHES.keys() | RULES.keys()
    done = acceptance(
        root_dir, tmp_path, "--against", "sandbox", "--only", "measure", "--", *turned
    )
    assert done.status == 3, done.stderr[-4000:]
    answers = {name: each["answer"] for name, each in done.result()["facts"].items()}
    assert {
        name: answer for name, answer in answers.items() if answer != BY_ID[name].sandbox
    } == TURNED


# After which line it is interrupted, and which sections it goes through.
MOMENTS: tuple[tuple[str, Sequence[str]], ...] = (
    ("run acc-", ("adoption",)),
    ("ok fleet-cloud up", ("adoption",)),
    ("ok fleet-cloud status", ("provision",)),
    ("ok a device provisions itself: csr", ("provision",)),
    ("ok a device provisions itself: keys", ("provision",)),
    ("ok a claim that ends", ("provision",)),
    ("ok fleet-agent rotate", ("rotation",)),
    ("recovery:", ("recovery",)),
    ("ok another device with the serial", ("hook",)),
    ("policies:", ("policies",)),
    ("ok fleet-cloud up --credentials", ("credentials",)),
    ("= credentials-delay", ("measure-credentials",)),
    ("ok a device listens for commands", ("orders",)),
    ("ok fleet-cloud run: a job", ("orders",)),
    ("ok fleet-cloud send", ("steering",)),
    ("= commands-qos", ("measure-orders",)),
    ("flow-bulk:", ("flow-bulk",)),
    ("ok fleet-cloud bulk: 3", ("flow-bulk",)),
    ("ok an IAM user", ("flow-by-hand",)),
    ("ok fleet-cloud rule up", ("flow-rule",)),
    ("flow-things:", ("flow-things",)),
    ("ok fleet-cloud things send", ("flow-things",)),
    ("= token-twice", ("measure-requests",)),
    ("= reply-elsewhere", ("measure-requests",)),
    ("= jobs-document", ("measure-jobs",)),
    ("= own-ca-first-connect", ("measure-own-ca",)),
    ("= own-ca-misfit", ("measure-own-ca",)),
    ("many:", ("many",)),
)


def interrupted(
    root_dir: Path, sandbox: Sandbox, folder: Path, moment: str, words: Sequence[str], how: int
) -> str:
    """Starts a run, ends it after a line, and gives what it had said by then."""
    only = [word for section in words for word in ("--only", section)]
    flags: tuple[str | Path, ...] = (
        "--out",
        folder,
        "--ca-file",
        sandbox.ca_file,
        "--yes",
        "--devices",
        "3",
        *only,
    )
    process = subprocess.Popen(
        command(*flags),
        env=environment(root_dir, sandbox.environment),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    assert process.stderr is not None
    said = ""
    with process.stderr:
        for line in process.stderr:
            said += line
            # A section's name stands in what is said before, too.
            if line.strip() == moment or (not moment.endswith(":") and moment in line):
                process.send_signal(how)
                break
        else:
            pytest.fail(f"{moment!r} did not come:\n{said}")
        rest: str = process.stderr.read()
    process.wait(300)
    return said + rest


def check_interrupted(
    root_dir: Path, sandbox: Sandbox, folder: Path, moment: tuple[str, Sequence[str]], how: int
) -> None:
    before = listing(sandbox)
    said = interrupted(root_dir, sandbox, folder, *moment, how)
    done = subprocess.run(
        command("--clean-up", "--out", folder),
        env=environment(root_dir, sandbox.environment),
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert done.returncode == 0, said + done.stdout + done.stderr
    assert ("taken away: acc-" in done.stdout) is (how == signal.SIGKILL), done.stdout
    assert listing(sandbox) == before, said + done.stderr
    assert not list(folder.glob("acc-*"))


def test_a_killed_run_is_taken_away(root_dir: Path, sandbox: Sandbox, tmp_path: Path) -> None:
    moment = ("= hook-denies", ("measure-hook",))
    check_interrupted(root_dir, sandbox, tmp_path, moment, signal.SIGKILL)


@pytest.mark.thorough
@pytest.mark.parametrize(
    "how", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL], ids=["ctrl-c", "ended", "killed"]
)
@pytest.mark.parametrize("moment", MOMENTS, ids=lambda moment: moment[0].strip(" :="))
def test_an_interrupted_run_is_taken_away(
    moment: tuple[str, Sequence[str]], how: int, root_dir: Path, sandbox: Sandbox, tmp_path: Path
) -> None:
    check_interrupted(root_dir, sandbox, tmp_path, moment, how)


def test_what_is_wrong_on_the_command_line_is_said(root_dir: Path, tmp_path: Path) -> None:
    for words, status, said in (
        (("--only", "nothing"), 2, "invalid choice"),
        (("--devices", "0"), 2, "a number from 1"),
        (("--", "--without", "unsuback"), 2, "--against sandbox"),
        (("--against", "sandbox", "--clean-up"), 2, "ends with it"),
        (("--compare", "no-such-file"), 1, "no-such-file"),
    ):
        done = acceptance(root_dir, tmp_path, *words)
        assert done.status == status, done.stderr
        assert said in done.stderr
        assert "Traceback" not in done.stderr
    done = acceptance(root_dir, tmp_path, "--against", "sandbox", "--", "--set", "nobody=x")
    assert done.status == 1
    assert "turns no switch" in done.stderr


def test_nothing_is_made_where_nobody_can_be_asked(
    root_dir: Path, sandbox: Sandbox, tmp_path: Path
) -> None:
    before = listing(sandbox)
    done = subprocess.run(
        command("--out", tmp_path, "--ca-file", sandbox.ca_file),
        env=environment(root_dir, sandbox.environment),
        capture_output=True,
        text=True,
        check=False,
        stdin=subprocess.DEVNULL,
        timeout=60,
    )
    assert done.returncode == 1
    assert "add --yes" in done.stderr
    assert "US cent" in done.stderr
    assert listing(sandbox) == before


def test_what_cannot_be_listed_is_named_and_a_quota_is_met(
    root_dir: Path, sandbox: Sandbox, faults: FaultClient, tmp_path: Path
) -> None:
    faults.add("create-from-csr", "quota", per_second=10)
    before = listing(sandbox)
    iam = aws_client(sandbox, "iam")
    iam.create_user(UserName="half")
    statements = [
        {"Effect": "Allow", "Action": "*", "Resource": "*"},
        {"Effect": "Deny", "Action": ["iot:ListCommands", "iot:ListRoleAliases"], "Resource": "*"},
    ]
    document = json.dumps({"Version": "2012-10-17", "Statement": statements})
    iam.put_user_policy(UserName="half", PolicyName="half", PolicyDocument=document)
    key = iam.create_access_key(UserName="half")["AccessKey"]
    who = {
        "AWS_ACCESS_KEY_ID": key["AccessKeyId"],
        "AWS_SECRET_ACCESS_KEY": key["SecretAccessKey"],
    }
    flags = ("--ca-file", sandbox.ca_file, "--yes", "--only", "measure-throttling")
    done = subprocess.run(
        command("--out", tmp_path, *flags),
        env=environment(root_dir, sandbox.environment | who),
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == 3, done.stderr
    assert "not listed here: commands (iot list_commands: AccessDenied" in done.stderr
    assert "not listed here: role aliases" in done.stderr
    found = Done(done.returncode, done.stdout, done.stderr, tmp_path).result()
    assert found["facts"]["throttled"]["answer"] == BY_ID["throttled"].documented
    assert found["left"] == []
    assert listing(sandbox) == before
