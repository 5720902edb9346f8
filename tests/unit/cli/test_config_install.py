"""``fleet-agent config install``: what an image gets, and what it does not get."""

import json
import os
from pathlib import Path

import pytest
import yaml

from fleet_agent import cli
from fleet_agent.cli.parser import command_line
from fleet_cloud.fleet import spread
from support.certificates import make_certificate
from support.csr import key_pem, make_key

CONFIG = """\
# written by hand
endpoint: a1-ats.iot.eu-west-1.amazonaws.com
claim: {certificate: claim/claim.certificate.pem.crt, private_key: claim/claim.private.pem.key}
provisioning:
  template: fleet-v1
  parameters: {Site: {file: site-code}, SerialNumber: {dmi: product_serial}}
"""
HOME = Path("etc/fleet-agent")


@pytest.fixture
def image(tmp_path: Path) -> Path:
    """The folder on the workstation."""
    folder = tmp_path / "image"
    (folder / "claim").mkdir(parents=True)
    (folder / "config.d").mkdir()
    (folder / "config.yaml").write_text(CONFIG)
    (folder / "config.d/10-topic.yaml").write_text("telemetry: {topic: 'up/{thing}'}\n")
    (folder / "site-code").write_text("north\n")
    (folder / "notes.txt").write_text("not for the device\n")
    key = make_key()
    (folder / "claim/claim.certificate.pem.crt").write_text(make_certificate(key))
    (folder / "claim/claim.private.pem.key").write_bytes(key_pem(key))
    return folder


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A root file system as far as it matters."""
    root = tmp_path / "root"
    for folder in ("etc", "usr/bin", "usr/lib/tmpfiles.d"):
        (root / folder).mkdir(parents=True)
    (root / "usr/bin/fleet-agent").touch()
    (root / "usr/lib/tmpfiles.d/fleet-agent.conf").touch()
    (root / "etc/group").write_text("root:x:0:\n_fleet-agent:x:983:\n")
    return root


def install(image: Path, root: Path, *words: str) -> int:
    config = ["--config", str(image / "config.yaml")]
    return cli.main(["config", "install", *config, "--root", str(root), *words])


def tree(root: Path) -> dict[str, int]:
    home = root / HOME
    return {
        str(path.relative_to(home)): path.stat().st_mode & 0o777
        for path in sorted(home.rglob("*"))
    }


def test_the_folder_becomes_etc_fleet_agent(image: Path, root: Path) -> None:
    assert install(image, root, "--fleet-size", "5000") == 0
    assert tree(root) == {
        "claim": 0o750,
        "claim/claim.certificate.pem.crt": 0o640,
        "claim/claim.private.pem.key": 0o640,
        "config.d": 0o755,
        "config.d/10-topic.yaml": 0o644,
        "config.d/99-installed.yaml": 0o644,
        "config.yaml": 0o640,
        "site-code": 0o644,
    }
    assert (root / HOME / "config.yaml").read_text() == CONFIG
    written = yaml.safe_load((root / HOME / "config.d/99-installed.yaml").read_text())
    assert written == {"provisioning": {"spread": spread.duration(spread.window_seconds(5000))}}
    assert cli.main(["config", "check", "--config", str(root / HOME / "config.yaml")]) == 0


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files away")
def test_the_images_own_group_may_read_the_claim(image: Path, root: Path) -> None:
    assert install(image, root) == 0
    for name in ("config.yaml", "claim", "claim/claim.private.pem.key"):
        found = (root / HOME / name).stat()
        assert (found.st_uid, found.st_gid) == (0, 983)


@pytest.mark.parametrize("number", ["99999999999999999999", "4294967295", "-5", "", "x"])
def test_a_group_of_no_possible_number_is_none(
    image: Path, root: Path, capsys: pytest.CaptureFixture[str], number: str
) -> None:
    (root / "etc/group").write_text(f"_fleet-agent:x:{number}:\n")
    assert install(image, root) == 0
    assert "root:root until _fleet-agent exists" in capsys.readouterr().out


@pytest.mark.parametrize("text", ["_fleet-agent:x\n", None])
def test_a_list_of_groups_that_is_none(image: Path, root: Path, text: str | None) -> None:
    (root / "etc/group").unlink()
    if text is None:
        os.mkfifo(root / "etc/group")
    else:
        (root / "etc/group").write_text(text)
    assert install(image, root) == 0


def test_what_cannot_be_written_is_no_matter_of_the_state_directory(
    image: Path, root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (root / HOME / "config.yaml").mkdir(parents=True)
    assert install(image, root) == 78
    assert install(image, root, "--force") in (73, 78)
    assert "state_dir" not in capsys.readouterr().err


def test_without_the_group_it_is_roots_until_the_first_boot(
    image: Path, root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (root / "etc/group").write_text("root:x:0:\n")
    assert install(image, root) == 0
    reported = capsys.readouterr()
    assert "root:root until _fleet-agent exists, at boot" in reported.out
    assert reported.err == ""
    assert (root / HOME / "claim/claim.private.pem.key").stat().st_gid == os.getegid()


def test_with_flags_alone(image: Path, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(image)
    monkeypatch.setenv("FLEET_AGENT_CONFIG", "")
    words = ["--endpoint", "a1-ats.iot.eu-west-1.amazonaws.com", "--template-name", "fleet-v1"]
    words += ["--cert", "claim/claim.certificate.pem.crt", "--key", "claim/claim.private.pem.key"]
    monkeypatch.setattr("fleet_agent.config.paths.CONFIG_FILE", str(image / "none.yaml"))
    assert cli.main(["config", "install", "--root", str(root), *words]) == 0
    written = yaml.safe_load((root / HOME / "config.yaml").read_text())
    assert written["claim"] == {
        "certificate": "claim/claim.certificate.pem.crt",
        "private_key": "claim/claim.private.pem.key",
    }
    assert "claim/claim.private.pem.key" in tree(root)


def test_a_claim_from_elsewhere_is_named_in_the_drop_in(image: Path, root: Path) -> None:
    other = image.parent / "other"
    other.mkdir()
    key = make_key()
    (other / "c.pem").write_text(make_certificate(key))
    (other / "k.pem").write_bytes(key_pem(key))
    words = ("--cert", str(other / "c.pem"), "--key", str(other / "k.pem"))
    assert install(image, root, *words) == 0
    placed = (root / HOME / "claim/claim.private.pem.key").read_text()
    assert placed == (other / "k.pem").read_text()
    written = yaml.safe_load((root / HOME / "config.d/99-installed.yaml").read_text())
    assert written["claim"]["private_key"] == "claim/claim.private.pem.key"


def test_what_the_image_has_already_stays(image: Path, root: Path) -> None:
    (root / "etc/ssl").mkdir()
    (root / "etc/ssl/own.pem").write_text("its own")
    (image / "config.yaml").write_text(CONFIG + "ca_file: /etc/ssl/own.pem\n")
    assert install(image, root) == 0
    assert "ca.pem" not in tree(root)


def test_nothing_is_written_when_a_key_is_not_the_certificates(
    image: Path, root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (image / "claim/claim.private.pem.key").write_bytes(key_pem(make_key()))
    assert install(image, root) == 78
    assert "does not belong to the certificate" in capsys.readouterr().err
    assert not (root / HOME).exists()


def test_a_missing_claim_names_both_places(
    image: Path, root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = CONFIG.replace("claim/claim.c", "/etc/fleet-agent/claim/claim.c")
    (image / "config.yaml").write_text(text)
    assert install(image, root) == 78
    reported = capsys.readouterr().err
    assert "claim.certificate names /etc/fleet-agent/claim/claim.certificate.pem.crt" in reported
    assert f"not in {root} either" in reported


def test_other_content_is_replaced_only_by_force(image: Path, root: Path) -> None:
    assert install(image, root) == 0
    assert install(image, root) == 0  # the same again is fine
    (image / "config.yaml").write_text(CONFIG + "port: 443\n")
    assert install(image, root) == 73
    assert install(image, root, "--force") == 0
    assert "port: 443" in (root / HOME / "config.yaml").read_text()


@pytest.mark.parametrize("link", [HOME, HOME / "claim"])
def test_a_link_that_leads_out_of_the_image_is_refused(
    image: Path, root: Path, link: Path
) -> None:
    outside = image.parent / "outside"
    outside.mkdir()
    (root / link).parent.mkdir(exist_ok=True)
    (root / link).symlink_to(outside)
    assert install(image, root) == 78
    assert not list(outside.iterdir())


def test_a_path_that_leaves_the_folder_is_not_one_in_the_image(image: Path, root: Path) -> None:
    """Below the folder by its letters, `../../etc/cron.d/x` would be written there."""
    (image.parent / "cron").mkdir()
    (image.parent / "cron/x").write_text(make_certificate(make_key()))
    (image / "config.yaml").write_text(CONFIG + "ca_file: ../cron/x\n")
    assert install(image, root) == 0
    assert not (root / "etc/cron").exists()
    assert "ca.pem" in tree(root)
    written = yaml.safe_load((root / HOME / "config.d/99-installed.yaml").read_text())
    assert written["ca_file"] == "ca.pem"


@pytest.mark.parametrize("setting", ["ca_file: {}", "claim: {{certificate: {}, private_key: {}}}"])
def test_only_what_a_setting_means_is_copied(
    image: Path, root: Path, setting: str, capsys: pytest.CaptureFixture[str]
) -> None:
    other = image.parent / "shadow"
    other.write_text("root:secret:1::::::\n")
    text = CONFIG if setting.startswith("ca_file") else CONFIG[: CONFIG.index("claim:")]
    (image / "config.yaml").write_text(f"{text}\n{setting.format(other, other)}\n")
    assert install(image, root) == 78
    assert "secret" not in capsys.readouterr().err
    assert not (root / HOME).exists()


def test_a_ca_file_brings_no_key_along(image: Path, root: Path) -> None:
    key = make_key()
    (image / "ca.pem").write_text(make_certificate(key) + key_pem(key).decode())
    (image / "config.yaml").write_text(CONFIG + "ca_file: ca.pem\n")
    assert install(image, root) == 78
    (image / "ca.pem").write_text("# ours\n" + (certificate := make_certificate(key)))
    assert install(image, root) == 0
    assert (root / HOME / "ca.pem").read_text() == certificate


@pytest.mark.skipif(os.geteuid() != 0, reason="only root must mistrust other users")
@pytest.mark.parametrize("name", ["site-code", "claim"])
def test_root_follows_no_link_in_another_users_folder(
    image: Path, root: Path, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    (image / name).rename(image.parent / "elsewhere")
    (image / name).symlink_to(image.parent / "elsewhere")
    assert install(image, root) == 0  # the folder is root's
    os.chown(image, 1, 1)
    assert install(image, root, "--force") == 78
    assert "another user's symbolic link" in capsys.readouterr().err


def test_a_place_that_is_no_root_is_refused(image: Path, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    assert install(image, tmp_path / "empty") == 2


def test_a_baked_identity_and_a_missing_agent_are_told(
    image: Path, root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (root / "usr/bin/fleet-agent").unlink()
    (root / "var/lib/fleet-agent/credentials/0001").mkdir(parents=True)
    assert install(image, root, "--json") == 0
    warnings = json.loads(capsys.readouterr().out)["warnings"]
    assert ["install the package" in warning for warning in warnings] == [True, False]
    assert "every device made from it would share" in warnings[1]


@pytest.mark.parametrize("size", [1, 10, 11, 999, 5000, 1_000_000])
def test_the_window_is_the_companions(size: int) -> None:
    parser = command_line("config")
    words = ["config", "install", "--fleet-size", str(size)]
    given = getattr(parser.parse_args(words), "provisioning.spread")
    assert given == spread.duration(spread.window_seconds(size))
