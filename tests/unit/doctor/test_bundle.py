"""No secret gets into a bundle, however it is written down."""

import json
import shutil
import tarfile
from pathlib import Path

import pytest

from fleet_agent import pasted
from fleet_agent.doctor import bundle
from fleet_agent.doctor.redaction import redact
from support.secrets import secrets_in
from support.seeded import Bench, attempt

TOKEN = "eyJ" + "aB3-_xY9" * 12
PASSWORD = "hunter2!"


def bundled(bench: Bench, archive: Path, name: str) -> str:
    """What a bundle has of the state directory under that name."""
    collected = bundle.Bundle(bench.device())
    with archive.open("w+b") as opened:
        collected.write(opened, 0)
    with tarfile.open(archive) as tar:
        file = tar.extractfile(f"fleet-agent/state/{name}")
        return file.read().decode() if file is not None else ""


def test_a_bundle_has_no_secret(tmp_path: Path) -> None:
    bench = Bench(tmp_path / "root")
    key = (bench.current / "private.pem.key").read_text()
    claim_key = bench.claim.private_key.read_text()
    # a key in the certificate's file, as some keep them; a token under way; secrets all over the place
    bench.claim.certificate.write_text(bench.claim.certificate.read_text() + claim_key)
    generation = bench.store.open(attempt())
    folder = bench.store.folder(generation.number)
    (folder / "issued.json").write_text(f'{{"ownership_token": "{TOKEN}"}}')
    bench.write(
        "etc/fleet-agent/config.d/50-more.yaml", f"# password: {PASSWORD}\n# {TOKEN}\n{{}}\n"
    )
    bench.drop_in("claim.conf", f"[Service]\nSetCredential=claim-key:{claim_key.splitlines()[1]}\n"
                  f"Environment=HTTPS_PROXY=http://user:{PASSWORD}@proxy:3128\n")  # fmt: skip
    bench.write("var/lib/fleet-agent/first-contact.json", f'{{"odd": "{key.splitlines()[1]}"}}')
    (bench.state_dir / "run").mkdir()
    bench.write(
        "var/lib/fleet-agent/run/status.json",
        f'{{"doing": "connected", "connected": true, "token": "{TOKEN}"}}',
    )

    archive = tmp_path / "support.tar.gz"
    collected = bundle.Bundle(bench.device())
    collected.add_findings(
        {"findings": [{"title": f"proxy: http://me:{PASSWORD}@p:1, {TOKEN}", "level": "failed"}]}
    )
    with bundle.open_archive(archive) as opened:
        collected.write(opened, bench.clock.wall())
    shutil.rmtree(bench.root)  # with what was strewn there on purpose

    assert archive.stat().st_mode & 0o777 == 0o600
    with tarfile.open(archive) as tar:
        assert {member.mode for member in tar.getmembers()} == {0o600}
        texts = {
            member.name: file.read().decode()
            for member in tar.getmembers()
            if (file := tar.extractfile(member)) is not None
        }
    whole = "\n".join(texts.values())
    assert secrets_in(whole) == []
    for secret in (TOKEN, PASSWORD, *key.splitlines()[1:-1], *claim_key.splitlines()[1:-1]):
        assert secret not in whole
    assert "fleet-agent/config/config.yaml" in texts
    assert json.loads(texts["fleet-agent/doctor.json"])["findings"][0]["level"] == "failed"
    assert "pump-B8827EF01C22" in texts["fleet-agent/state/credentials/0001/registration.json"]
    assert "-----BEGIN CERTIFICATE-----" in texts["fleet-agent/claim/certificate.pem"]
    assert "5e" * 32 in texts["fleet-agent/state/ledger.jsonl"]
    assert json.loads(texts["fleet-agent/state/run/status.json"])["connected"] is True
    assert "private.pem.key" in texts["fleet-agent/state/listing.txt"]
    assert not [name for name in texts if name.endswith(("private.pem.key", "issued.json"))]


def test_of_a_template_parameter_the_name_alone_goes_along(tmp_path: Path) -> None:
    """Its value, and what its command said, are whatever somebody chose."""
    bench = Bench(tmp_path / "root")
    said = {"command": ["/bin/sh", "-c", f"echo {PASSWORD} >&2; false"]}
    bench.save(
        provisioning={"template": "t", "parameters": {"Code": f"4711{PASSWORD}", "Other": said}}
    )
    collected = bundle.Bundle(bench.device())
    entries = [
        {"check": each.check, "title": each.title, "where": each.where} for each in bench.examine()
    ]
    assert PASSWORD in str(entries)
    collected.add_findings({"findings": entries})
    with (tmp_path / "archive").open("w+b") as opened:
        collected.write(opened, 0)
    with tarfile.open(tmp_path / "archive") as tar:
        texts = [tar.extractfile(member) for member in tar.getmembers()]
        whole = b"".join(file.read() for file in texts if file is not None).decode()
    assert PASSWORD not in whole
    assert "provisioning.parameters.Code" in whole


def test_of_a_sources_command_the_program_alone_goes_along(tmp_path: Path) -> None:
    """As the agent reports one that fails, with what to type."""
    bench = Bench(tmp_path / "root")
    argv = ["/usr/bin/curl", "-H", f"X-Mine: {PASSWORD}", "http://meter/"]
    bench.save(telemetry={"sources": [{"command": {"name": "m", "argv": argv, "interval": "1m"}}]})
    problem = {"title": "curl failed", "remedy": f"Run it by hand: {pasted.command(*argv)}"}
    bench.write("var/lib/fleet-agent/run/status.json", json.dumps({"problems": [problem]}))
    text = bundled(bench, tmp_path / "archive", "run/status.json")
    assert "Run it by hand: /usr/bin/curl" in text
    assert PASSWORD not in text


def test_the_listing_follows_no_link(tmp_path: Path) -> None:
    bench = Bench(tmp_path / "root")
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / PASSWORD).touch()
    for name in ("orders", "photos"):
        (bench.state_dir / name).symlink_to(tmp_path / "elsewhere")
    text = bundled(bench, tmp_path / "archive", "listing.txt")
    assert f"orders -> {tmp_path}/elsewhere" in text
    assert PASSWORD not in text


def test_what_cannot_be_looked_at_keeps_the_rest_from_nobody(tmp_path: Path) -> None:
    bench = Bench(tmp_path / "root")
    bench.save(state_dir="/" + "a" * 300)
    collected = bundle.Bundle(bench.device())
    with (tmp_path / "archive").open("w+b") as opened:
        collected.write(opened, 0)
    with tarfile.open(tmp_path / "archive") as tar:
        names = tar.getnames()
    assert {"fleet-agent/config/config.yaml", "fleet-agent/state/unreadable.txt"} <= set(names)


def test_of_a_file_only_what_is_known_goes_along(tmp_path: Path) -> None:
    """By construction: a secret under a name that no list knows stays on the device."""
    bench = Bench(tmp_path / "root")
    bench.save(provisioning={"template": "fleet-v1", "parameters": {"Word": "plainword"}})
    bench.write(
        "etc/fleet-agent/config.d/50-more.yaml",
        "port: 8883\nhidden: plainword\nlist: [plainword]\n# plainword\n",
    )
    bench.drop_in(
        "x.conf",
        "[Service]\nEnvironment=WORD=plainword\nExecStart=/bin/x --word plainword\nUser=agent\n# plainword\n",
    )
    bench.write(
        "var/lib/fleet-agent/credentials/0001/registration.json",
        '{"thing_name": "pump-7", "device_configuration": {"word": "plainword"}, "more": ["plainword"]}',
    )
    bench.write(
        "var/lib/fleet-agent/ledger.jsonl", '{"event": "issued", "word": "plainword"}\nplainword\n'
    )
    archive = tmp_path / "support.tar.gz"
    with bundle.open_archive(archive) as opened:
        bundle.Bundle(bench.device()).write(opened, bench.clock.wall())
    with tarfile.open(archive) as tar:
        texts = {
            member.name: file.read().decode()
            for member in tar.getmembers()
            if (file := tar.extractfile(member)) is not None
        }
    assert [name for name, text in texts.items() if "plainword" in text] == []
    whole = "\n".join(texts.values())
    for kept in (
        "pump-7",
        "template: fleet-v1",
        "port: '8883'",
        "User=agent",
        '"event": "issued"',
        "hidden: (redacted)",
    ):
        assert kept in whole, kept


@pytest.mark.parametrize(
    ("text", "secret"),
    [
        ("proxy: http://user:pa%3Ass@proxy.example.com:3128", "pa%3Ass"),
        ("pkcs11:token=t;object=k?pin-value=1234&x=y", "1234"),
        ('"ownership_token": "short"', "short"),
        ("db_password = 'correct horse'", "correct horse"),
        ("API_KEY: abc", "abc"),
        ("Proxy-Authorization: Basic dXNlcjpwYXNz", "dXNlcjpwYXNz"),
        ("-----BEGIN EC PRIVATE KEY-----\nMHcCAQEEI", "MHcCAQEEI"),
        (f"got {TOKEN} from AWS", TOKEN),
        ("HTTP://u:hunter2@proxy:3128", "hunter2"),
        ("http://u:hun/ter#2@proxy:3128", "ter#2"),
        ("API-KEY=abc", "abc"),
        ("KEY_PASSPHRASE=abc", "abc"),
        ("passwords:\n  - hunter2\n  - other\n", "hunter2"),
        ("passwords:\n- hunter2\nport: 1\n", "hunter2"),
        ("secret: |\n  first line\n  hunter2\n", "hunter2"),
        ("secret:\n  inner:\n    deep: hunter2\n", "hunter2"),
        ("Bearer eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2lnbmF0dXJl", "c2lnbmF0dXJl"),
        (f"curl -H 1000.{'0123456789abcdef' * 4} http://127.0.0.1:9070", "0123456789abcdef" * 4),
        ("aws_access_key_id = AKIAIOSFODNN7EXAMPLE", "AKIAIOSFODNN7EXAMPLE"),
    ],
)
def test_a_secret_is_taken_out(text: str, secret: str) -> None:
    assert secret not in redact(text, ())


@pytest.mark.parametrize(
    "text",
    [
        "certificate " + "0123456789abcdef" * 4,
        "topic dt/pump-7/system, port: 8883, private_key: /etc/fleet-agent/claim/key.pem",
        "SerialNumber: {dmi: product_serial}",
    ],
)
def test_what_support_needs_stays(text: str) -> None:
    assert redact(text, ()) == text
