"""The command as a user starts it, as far as it needs no cloud."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from fleet_agent import __version__
from fleet_cloud import reference
from fleet_cloud.cli import main

Programs = Callable[[str, str], Path]
Run = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def run(root_dir: Path, tmp_path: Path) -> Run:
    """Runs the launcher from a folder that is not the checkout, in a bare environment."""

    def start(*words: str, launcher: Path | None = None) -> "subprocess.CompletedProcess[str]":
        command = [
            sys.executable,
            "-I",
            str(launcher or root_dir / "scripts" / "fleet-cloud"),
            *words,
        ]
        environment = {
            "PATH": os.environ["PATH"],
            "HOME": str(tmp_path),
            "AWS_REGION": "eu-west-1",
            "FLEET_CLOUD_WITH": "aws",
        }
        return subprocess.run(
            command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
        )

    return start


def test_launcher_works_through_a_link_from_anywhere(
    run: Run, root_dir: Path, tmp_path: Path
) -> None:
    link = tmp_path / "link"
    link.symlink_to(root_dir / "scripts" / "fleet-cloud")
    done = run("--help", launcher=link)
    assert done.returncode == 0
    assert "claim" in done.stdout
    done = run("--version", launcher=link)
    assert (done.returncode, done.stdout) == (0, f"fleet-cloud {__version__}\n")


@pytest.mark.parametrize(
    "words",
    [
        (),
        ("nope",),
        ("claim",),
        ("config",),
        ("claim", "new"),
        ("config", "--out", "d", "--fleet-size", "x"),
        ("config", "--out", "d", "--fleet-size", "0"),
        ("config", "--out", "d", "--device-endpoint", "https://x"),
        ("config", "--out", "d", "--device-endpoint", "x", "--ca-file", "nope.pem"),
        ("up", "--name", "a b"),
        ("claim", "new", "--out", "d", "--batch", "a/b"),
        ("claim", "revoke"),
        ("devices", "show", "a b"),
        ("devices", "clean", "a#b", "--yes"),
        ("devices", "prune", "--ledger", "nope"),
        ("operator-policy", "nope"),
        ("operator-policy", "--account", "12"),
        ("up", "--thing-type", "a b"),
        ("up", "--template-file", "nope"),
        ("up", "--hook-pattern", "["),
        ("up", "--hook-allow", "nope"),
        ("up", "--hook-pattern", "a", "--no-hook"),
        ("verify", "--dry-run"),
        ("verify", "--parameter", "x"),
        ("verify", "--ca-file", "nope"),
        ("bulk",),
        ("bulk", "--count", "0"),
        ("bulk", "--count", "2", "--prefix", "a b"),
        ("bulk", "--count", "2", "--prefix", "-x"),
        ("bulk", "--count", "2", "--thing-type", "a/b"),
        ("bulk", "--count", "2", "--prefix", "x" * 127),
        ("bulk", "--count", "2", "--shared-certificate", "--unique-certificates"),
        ("check",),
        ("rule", "up", "--topic", "it's", "--sns", "a"),
        ("rule", "up", "--topic", "#/x", "--sns", "a"),
        ("rule", "up", "--topic", "a+/x", "--sns", "a"),
        ("rule", "up", "--topic", "", "--sns", "a"),
        ("rule", "up", "--topic", "a/b", "--sns", "a b"),
        ("rule", "up", "--topic", "a/b", "--sns", "a", "--email", "nobody"),
        ("things", "create", "0"),
        ("things", "send", "--topic", "a/#"),
        ("things", "send", "--duration", "0"),
        ("things", "send", "--duration", "nan"),
        ("claim", "new", "--out", "a", "--image", "b"),
        ("up", "--region", "moon"),
        ("up", "--template-file", ""),
        ("claim", "new", "--image", ""),
        ("config", "--out", "a", "--device-endpoint", ""),
        ("devices", "allow", "x", "--key", ""),
        ("run", "", "reboot"),
        ("send", "", "a/b", ""),
        ("up", "--role-boundary", "admin"),
        ("up", "--name", "claim"),
        ("claim", "new", "--out", "d", "--name", "claim-b"),
        ("bulk", "--count", "2", "--prefix", "claim"),
    ],
)
def test_wrong_usage_ends_with_2_and_makes_nothing(
    words: tuple[str, ...],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("AWS_REGION", "AWS_DEFAULT_REGION"):
        monkeypatch.setenv(name, "eu-west-1")
    status = main(words)
    printed = capsys.readouterr()
    assert status == 2, printed.err
    assert printed.out == ""
    assert "next:" in printed.err
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("words", [("devices", "show"), ("bogus",), ("up", "--region")])
def test_wrong_usage_is_for_scripts_too(
    words: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*words, "--json"]) == 2
    printed = capsys.readouterr()
    assert json.loads(printed.out)["error"]["code"] == "usage"
    assert printed.err.startswith("usage:")


def test_a_name_that_no_file_can_have(capsys: pytest.CaptureFixture[str]) -> None:
    words = (
        "config",
        "--out",
        "a" * 300,
        "--device-endpoint",
        "localhost",
        "--region",
        "eu-west-1",
    )
    assert main(words) == 1
    assert "cannot be read: File name too long" in capsys.readouterr().err


def test_operator_policy_for_an_account_asks_nobody(run: Run, programs: Programs) -> None:
    programs("aws", "exit 1")
    words = ("operator-policy", "claim", "temporary", "--account", "123456789012")
    done = run(*words, "--region", "cn-north-1")
    assert json.loads(done.stdout)["Statement"] == [
        {
            "Effect": "Allow",
            "Action": ["iot:CreateProvisioningClaim", "iot:DescribeProvisioningTemplate"],
            "Resource": ["arn:aws-cn:iot:cn-north-1:123456789012:provisioningtemplate/fleet"],
        },
        {"Effect": "Allow", "Action": ["iot:DescribeEndpoint"], "Resource": ["*"]},
        {
            "Effect": "Allow",
            "Action": ["iot:GetPolicy"],
            "Resource": [
                "arn:aws-cn:iot:cn-north-1:123456789012:policy/fleet-device",
                "arn:aws-cn:iot:cn-north-1:123456789012:policy/fleet-claim",
            ],
        },
    ]


def test_template_file_that_cannot_be_one_is_told_with_all_its_faults(
    run: Run, programs: Programs, tmp_path: Path
) -> None:
    programs("aws", "exit 1")
    (tmp_path / "body.json").write_text('{"Resources": {}, "Outputs": {}}')
    done = run("up", "--template-file", "body.json")
    assert done.returncode == 2
    assert done.stderr.splitlines() == [
        "fleet-cloud: --template-file body.json cannot be a fleet's template:",
        "    section 'Outputs' is not one of DeviceConfiguration, Mappings, Parameters, Resources",
        "    Resources: must have at least a certificate",
        "  next: correct that; nothing was sent to AWS yet",
    ]
    (tmp_path / "body.json").write_text("{}")
    done = run("up", "--template-file", "body.json")
    assert done.returncode == 2
    assert "must have at least a certificate" in done.stderr


def test_dry_run_on_an_empty_account_prints_all_that_up_would_make(
    run: Run, programs: Programs
) -> None:
    caller = '{"Arn": "arn:aws:iam::123456789012:user/me"}'
    absent = "An error occurred (NoSuchEntity) when calling the X operation: no"
    programs("aws", f"test $1 = sts && echo '{caller}' && exit; echo '{absent}' >&2; exit 254")
    flags = ("--thing-type", "bike", "--thing-group", "north", "--billing-group", "cost")
    done = run("up", *flags, "--hook-pattern", "A.*", "--dry-run")
    assert done.returncode == 0, done.stderr
    made = [line for line in done.stdout.splitlines() if line.startswith("aws ")]
    assert [" ".join(line.split()[1:3]) for line in made] == [
        "iam create-role",
        "iam attach-role-policy",
        "iot create-policy",
        "iot create-policy",
        "iot create-thing-type",
        "iot create-thing-group",
        "iot create-billing-group",
        "iam create-role",
        "iam attach-role-policy",
        "iam put-role-policy",
        "lambda create-function",
        "lambda add-permission",
        "iot create-provisioning-template",
    ]
    parts = ("attach-role", "put-role", "permission")
    taggable = [line for line in made if not any(part in line for part in parts)]
    assert all("made-by" in line for line in taggable)
    assert '"BillingGroup":"cost"' in made[-1]
    assert "base64 -d > fleet-hook.zip <<'END'" in done.stdout


def test_missing_aws_is_one_clear_line(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    done = run("up")
    assert done.returncode == 1
    assert done.stderr.splitlines() == [
        "fleet-cloud: the command aws is not installed",
        "  next: install the AWS CLI, version 1 or 2: sudo apt-get install awscli",
    ]


def test_failed_call_is_shown_with_command_words_cause_and_next_step(
    run: Run, programs: Programs
) -> None:
    programs("aws", "echo 'Unable to locate credentials' >&2; exit 253")
    done = run("up")
    assert done.returncode == 1
    assert done.stderr.splitlines() == [
        "fleet-cloud: aws sts get-caller-identity failed",
        "  command: aws sts get-caller-identity --region eu-west-1 --output json",
        "  it said: Unable to locate credentials",
        "  likely cause: no AWS credentials were found",
        "  next: type: aws configure   (or aws configure sso, or choose a profile with --profile NAME)",
    ]
    asked_json = run("--json", "up")
    error = json.loads(asked_json.stdout)["error"]
    assert error["code"] == "no-credentials"
    assert set(error) == {"code", "title", "remedy", "command", "said", "cause"}


def test_flag_before_the_command_stands_after_it_too(run: Run, programs: Programs) -> None:
    programs("aws", "exit 1")
    for words in (("--region", "eu-north-1", "up"), ("up", "--region", "eu-north-1")):
        assert "--region eu-north-1" in run(*words).stderr


def test_config_with_an_endpoint_asks_nobody(run: Run, tmp_path: Path) -> None:
    words = (
        "config",
        "--out",
        "image",
        "--device-endpoint",
        "localhost:8884",
        "--fleet-size",
        "99",
    )
    first, again = run(*words), run(*words, "--json")
    assert first.returncode == again.returncode == 0, first.stderr
    assert json.loads(again.stdout) == {
        "fleet": "fleet",
        "dry_run": False,
        "state": "unchanged",
        "config_file": "image/config.yaml",
        "endpoint": "localhost",
        "port": 8884,
        "credentials_endpoint": None,
        "role_aliases": [],
        "ca_file": None,
        "claim_certificate": "/etc/fleet-agent/claim/claim.certificate.pem.crt",
        "claim_private_key": "/etc/fleet-agent/claim/claim.private.pem.key",
        "template": "fleet",
        "spread": "11s",
    }
    assert (tmp_path / "image" / "config.yaml").stat().st_mode & 0o777 == 0o644


def test_config_that_says_something_else_is_kept_unless_forced(run: Run, tmp_path: Path) -> None:
    run("config", "--out", ".", "--device-endpoint", "a")
    refused = run("config", "--out", ".", "--device-endpoint", "b")
    assert refused.returncode == 1
    assert "--force" in refused.stderr
    assert 'endpoint: "a"' in (tmp_path / "config.yaml").read_text()
    assert run("config", "--out", ".", "--device-endpoint", "b", "--force").returncode == 0
    assert 'endpoint: "b"' in (tmp_path / "config.yaml").read_text()


def test_config_names_the_claim_where_it_finds_it(run: Run, tmp_path: Path) -> None:
    def claim_of(*words: str) -> str:
        done = run("config", "--out", "d", "--device-endpoint", "x", "--force", "--json", *words)
        found: str = json.loads(done.stdout)["claim_private_key"]
        return found.removesuffix("claim.private.pem.key")

    files = ("claim.private.pem.key", "claim.certificate.pem.crt")
    (tmp_path / "d" / "claim").mkdir(parents=True)
    assert claim_of() == "/etc/fleet-agent/claim/"
    for name in files:
        (tmp_path / "d" / name).touch()
    assert claim_of() == ""
    for name in files:
        (tmp_path / "d" / "claim" / name).touch()
    assert claim_of() == "claim/"
    assert claim_of("--claim-dir", "/data/claim") == "/data/claim/"


def test_reader_that_has_enough_is_no_failure_worth_a_traceback(run: Run, tmp_path: Path) -> None:
    launcher = run("--help").args[2]
    words = f"{sys.executable} {launcher} config --out d --device-endpoint x --dry-run"
    done = subprocess.run(
        ["sh", "-c", f"{words} | true"], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert "Traceback" not in done.stderr
    assert "BrokenPipe" not in done.stderr


def test_reference_page_is_what_the_parser_says(root_dir: Path) -> None:
    written = (root_dir / "docs" / "reference" / "fleet-cloud.md").read_text()
    assert written == reference.page(), (
        "make it again: cd scripts && python3 -m fleet_cloud.reference > ../docs/reference/fleet-cloud.md"
    )
