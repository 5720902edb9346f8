"""``doctor`` at a shell: exit statuses, words, JSON, the bundle, an SDK that is broken, another user's device."""

import os
import shutil
import subprocess
import tarfile
from pathlib import Path

import pytest

from support.agent import COMMAND, environment, run_command
from support.seeded import Bench
from support.users import NOBODY


def test_the_answer_for_people_and_for_scripts(tmp_path: Path) -> None:
    bench = Bench(tmp_path / "root")
    bench.save(provisioning={"template": "fleet-v1", "parameters": {"SerialNumber": "7"}})
    healthy = run_command("doctor", "--config", bench.config)
    assert healthy.status == 0, healthy.stdout
    assert "\x1b" not in healthy.stdout
    assert "0 failed" in healthy.stdout
    (bench.current / "private.pem.key").chmod(0o644)
    reported = run_command("doctor", "--config", bench.config)
    assert reported.status == 1
    assert f"FAIL   {bench.current}/private.pem.key has mode 0644" in reported.stdout
    assert f"→ chmod 600 {bench.current}/private.pem.key" in reported.stdout
    archive = tmp_path / "support.tar.gz"
    done = run_command("doctor", "--config", bench.config, "--json", "--fix", "--bundle", archive)
    assert done.status == 0, done.stdout
    assert done.answer["failed"] == 0
    assert done.answer["bundle"] == str(archive)
    (fixed,) = [finding for finding in done.answer["findings"] if finding["level"] == "fixed"]
    assert (fixed["code"], fixed["fixable"]) == ("key-readable", True)
    with tarfile.open(archive) as tar:
        assert "fleet-agent/doctor.json" in tar.getnames()
    again = run_command("doctor", "--config", bench.config, "--json", "--bundle", archive)
    assert (again.status, again.error["code"]) == (73, "bundle-not-writable")


def test_an_image_and_wrong_usage(tmp_path: Path) -> None:
    bench = Bench(tmp_path / "root", is_image=True)
    assert run_command("doctor", "--image", bench.root).status == 0
    bench.claim.private_key.chmod(0o644)
    done = run_command("doctor", "--image", bench.root, "--json")
    assert (
        done.status,
        [finding["code"] for finding in done.answer["findings"] if finding["remedy"]],
    ) == (
        1,
        ["claim-readable"],
    )
    assert run_command("doctor", "--image", bench.root, "--fix").status == 0
    assert run_command("doctor", "--image", bench.root, "--online").status == 2
    assert run_command("doctor", "--image", tmp_path / "nothing").status == 2


def test_a_broken_sdk_is_found_not_stumbled_over(tmp_path: Path) -> None:
    bench = Bench(tmp_path / "root")
    bench.save(provisioning={"template": "fleet-v1", "parameters": {"SerialNumber": "7"}})
    broken = tmp_path / "broken" / "awscrt"
    broken.mkdir(parents=True)
    (broken / "__init__.py").write_text("")
    (broken / "mqtt5.py").write_text("class Client: ...\n")
    done = run_command(
        "doctor", "--json", "--online", "--account", "0" * 12, "--config", bench.config,
        env={"PYTHONPATH": str(broken.parent)},
    )  # fmt: skip
    assert done.status == 1, done.stderr
    failed = [finding for finding in done.answer["findings"] if finding["level"] == "failed"]
    assert {each["code"] for each in failed} == {"sdk-incomplete"}
    assert "awscrt.mqtt5.ClientOptions" in {each["where"] for each in failed}


@pytest.mark.skipif(os.geteuid() != 0, reason="root alone can look with another's eyes")
def test_root_looks_with_the_eyes_of_the_agents_user() -> None:
    """What the agent's user may not read is found though root may; then --fix lets it."""
    place = Path("/var/tmp") / f"doctor-{os.getpid()}"  # below tmp_path nobody may pass
    bench = Bench(place)
    try:
        bench.save(provisioning={"template": "fleet-v1", "parameters": {"SerialNumber": "7"}})
        subprocess.run(["chown", "-R", f"{NOBODY}:{NOBODY}", bench.state_dir], check=True)
        os.chown(bench.current / "private.pem.key", 0, 0)
        bench.config.chmod(0o600)
        bench.claim.private_key.chmod(0o644)  # mended, the agent must still read it
        found = run_command("doctor", "--json", "--config", bench.config)
        codes = {
            finding["code"] for finding in found.answer["findings"] if finding["level"] == "failed"
        }
        assert {"not-readable-by-agent", "state-owner", "claim-readable"} <= codes, found.stdout
        fixed = run_command("doctor", "--json", "--fix", "--config", bench.config)
        left = [finding for finding in fixed.answer["findings"] if finding["level"] == "failed"]
        assert left in ([], _program_not_readable(left)), left
        key = (bench.current / "private.pem.key").stat()
        assert (key.st_uid, key.st_mode & 0o777) == (NOBODY, 0o600)
        claim = bench.claim.private_key.stat()
        assert (claim.st_uid, claim.st_gid, claim.st_mode & 0o777) == (0, NOBODY, 0o640)
    finally:
        shutil.rmtree(place)


def _program_not_readable(left: list[dict[str, str]]) -> list[dict[str, str]]:
    """A checkout below /root: the agent's user cannot run it there, and that is said."""
    return [each for each in left if each["code"] == "program-unreadable"]


def test_colour_is_for_terminals_and_can_be_declined(tmp_path: Path) -> None:
    bench = Bench(tmp_path / "root")
    command = f"{COMMAND} doctor --config {bench.config}"
    for extra, has_colour in (({}, True), ({"NO_COLOR": "1"}, False)):
        done = subprocess.run(
            ["script", "-qec", command, "/dev/null"],
            env=environment({"TERM": "xterm", **extra}),
            capture_output=True,
            stdin=subprocess.DEVNULL,
            timeout=60,
            check=False,
        )
        assert (b"\x1b[" in done.stdout) is has_colour
