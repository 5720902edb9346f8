import subprocess
import sys
from pathlib import Path

import pytest

from fleet_cloud.console import Console
from fleet_cloud.errors import CommandError, FleetCloudError
from fleet_cloud.local import openssl
from fleet_cloud.local.shell import Command, Shell, Variable

NAME = Variable("name")


def shell(*, dry_run: bool = False) -> Shell:
    return Shell(Console(as_json=False, is_verbose=False), dry_run=dry_run)


def test_printed_command_is_quoted_for_a_shell() -> None:
    assert str(Command(words=("aws", "a b", "$x", '{"k":1}'))) == """aws 'a b' '$x' '{"k":1}'"""


def test_printed_script_does_what_running_does(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    commands = [
        Command(words=("printf", "%s", "it's ${1}"), into=NAME),
        Command(words=("printf", "%s|", NAME, "x")),
    ]
    for command in commands:
        shell(dry_run=True).change(command)
    script = capsys.readouterr().out
    by_hand = subprocess.run(
        ["sh", "-e"], input=script, capture_output=True, text=True, check=True
    )
    running = shell()
    run = [running.change(command) for command in commands]
    assert by_hand.stdout == run[1] == "it's ${1}|x|"
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("by_hand", [True, False], ids=["printed", "run"])
def test_key_goes_into_a_new_private_file(tmp_path: Path, *, by_hand: bool) -> None:
    key = tmp_path / "a key"
    command = openssl.make_key(key)

    def make() -> None:
        if by_hand:
            subprocess.run(["sh", "-c", f"umask 0; {command}"], check=True, capture_output=True)
        else:
            shell().change(command)

    make()
    assert key.stat().st_mode & 0o777 == 0o600
    first = key.read_text()
    assert "PRIVATE KEY" in first
    with pytest.raises((subprocess.CalledProcessError, FleetCloudError)):
        make()
    assert key.read_text() == first


def test_dry_run_changes_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    dry = shell(dry_run=True)
    dry.make_folder(tmp_path / "new", 0o700)
    dry.write_public(tmp_path / "file", "text\n")
    dry.make_private(tmp_path / "file")
    dry.change(openssl.make_key(tmp_path / "key"))
    assert list(tmp_path.iterdir()) == []
    script = capsys.readouterr().out
    subprocess.run(["sh", "-e"], input=script, text=True, check=True, capture_output=True)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "key", "new"]
    assert (tmp_path / "file").read_text() == "text\n"


def test_failed_command_is_told_with_its_own_words() -> None:
    command = Command(words=("sh", "-c", "echo no luck >&2; exit 3"))
    with pytest.raises(CommandError) as failed:
        shell().run(command)
    assert failed.value.said == "no luck"
    assert failed.value.command == str(command)


def test_of_a_traceback_of_aws_the_exception_is_told() -> None:
    command = Command(words=(sys.executable, "-c", "raise RuntimeError('no luck')"))
    with pytest.raises(CommandError) as failed:
        shell().run(command)
    assert failed.value.said == "RuntimeError: no luck"


def test_missing_program_is_told_with_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(FleetCloudError, match="openssl is not installed") as failed:
        shell().need("openssl")
    assert "apt-get install openssl" in failed.value.remedy


def test_certificate_that_is_cut_off_is_told(tmp_path: Path) -> None:
    path = tmp_path / "c.pem"
    for pem in ("", "-----BEGIN CERTIFICATE-----\nMIIB", "x\ny"):
        with pytest.raises(FleetCloudError, match="contains no complete certificate"):
            openssl.certificate_id(pem, path)


def test_encrypted_or_broken_key_is_told_and_nobody_is_asked_for_a_passphrase(
    tmp_path: Path,
) -> None:
    encrypted, broken = tmp_path / "encrypted.pem", tmp_path / "broken.pem"
    make = (
        "openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -aes256 -pass pass:secret"
    )
    encrypted.write_bytes(subprocess.run(make.split(), check=True, capture_output=True).stdout)
    broken.write_text("-----BEGIN PRIVATE KEY-----\nMIGH\n")
    for path in (encrypted, broken):
        with pytest.raises(FleetCloudError, match="cannot be read by openssl"):
            openssl.public_key(shell(), path)


def test_command_that_is_there_but_does_not_start_is_named(tmp_path: Path) -> None:
    broken = tmp_path / "aws"
    broken.write_text("#!/nowhere/python\n")
    broken.chmod(0o755)
    with pytest.raises(CommandError, match="does not start") as failed:
        shell().run(Command(words=(str(broken), "--version")))
    assert failed.value.code == "cannot-start"
