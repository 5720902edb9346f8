"""The table of the state directory against everything that writes there, the documentation, and the package's purge."""

import fnmatch
import os
import re
import subprocess
from pathlib import Path

import pytest

from fleet_agent.credentials import folders
from fleet_agent.credentials.hardware_token import pin
from fleet_agent.device import fingerprint
from fleet_agent.doctor import rights
from fleet_agent.identity import claim_removal
from fleet_agent.identity.reset import reset
from fleet_agent.provisioning import spread
from fleet_agent.statedir.contents import CONTENTS, Kind
from fleet_agent.telemetry import queue
from support.seeded import Bench


def entry_of(name: str) -> bool:
    return any(fnmatch.fnmatch(name, entry.pattern) for entry in CONTENTS)


def filled(state_dir: Path) -> Path:
    """A state directory with everything that the table names."""
    for entry in sorted(CONTENTS, key=lambda entry: entry.pattern.count("/"), reverse=True):
        name = entry.pattern.replace("[0-9]*", "0001").replace("credentials/*", "credentials/0001")
        path = state_dir / name.replace("*", "x")
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.name == "current":
            path.symlink_to("0001")
        elif path.name == "credentials.cleared":
            path.mkdir()
        elif not path.exists():
            path.write_text("x")
    return state_dir


def test_what_the_code_writes_is_in_it() -> None:
    generation = [
        *(folders.ATTEMPT, folders.KEY, folders.HARDWARE_KEY, folders.CERTIFICATE),
        *(folders.ISSUED, folders.REGISTRATION, folders.PROVEN),
    ]
    names = [f"credentials/0001/{name}" for name in generation]
    names += [f"credentials/{folders.CURRENT}", queue.NAME, f"{queue.NAME}-wal", spread.FILE]
    names += [claim_removal.STARTS, claim_removal.SERVED, fingerprint.FILE, pin.REFUSED]
    assert [name for name in names if not entry_of(name)] == []


def test_a_devices_own_state_is_in_it(tmp_path: Path) -> None:
    state_dir = Bench(tmp_path / "root").state_dir
    found = [str(path.relative_to(state_dir)) for path in state_dir.rglob("*")]
    assert found
    assert [name for name in found if not entry_of(name)] == []


def test_secrets_are_said_to_be() -> None:
    secret = {Path(entry.pattern).name for entry in CONTENTS if entry.is_secret}
    assert secret == {*rights._SECRET, pin.REFUSED}
    assert not [entry for entry in CONTENTS if entry.is_secret and entry.is_bundled]


def test_the_documentation_names_each(root_dir: Path) -> None:
    text = (root_dir / "docs" / "reference" / "files.md").read_text()
    names = {entry.pattern.rpartition("/")[2].rstrip("*") for entry in CONTENTS}
    patterns = {"[0-9]", "", "source-*.json", "credentials.cleared", "run"}
    assert [name for name in sorted(names - patterns) if name not in text] == []


@pytest.mark.parametrize("for_image", [False, True])
def test_reset_leaves_what_is_not_of_this_life(tmp_path: Path, for_image: bool) -> None:
    state_dir = filled(tmp_path / "state")
    reset(state_dir, state_dir / "run", keep_queue=False, for_image=for_image)
    left = {path.name for path in state_dir.iterdir()}
    stays = (
        {Kind.LOCK, Kind.SHOWN} if for_image else {Kind.LOCK, Kind.SHOWN, Kind.TOKEN, Kind.LEDGER}
    )
    wanted = {e.pattern for e in CONTENTS if e.kind in stays and "/" not in e.pattern}
    assert left == wanted
    assert not list((state_dir / "run").iterdir())


# The package's purge --------------------------------------------------------------------------------------------------

ID = "5e" * 32


def purge(root_dir: Path, state_dir: Path) -> str:
    """What it says, with this state directory in place of the device's."""
    script = (root_dir / "packaging" / "debian" / "fleet-agent.postrm").read_text()
    script = script.replace("/var/lib/fleet-agent", str(state_dir))
    script = script.replace("/etc/fleet-agent", str(state_dir.parent / "etc"))
    done = subprocess.run(
        ["sh", "-c", script, "postrm", "purge"],
        capture_output=True, text=True, check=True, timeout=20, env={**os.environ, "LC_ALL": "C"},
    )  # fmt: skip
    return done.stderr


def test_a_purge_leaves_nothing_of_it(root_dir: Path, tmp_path: Path) -> None:
    state_dir = filled(tmp_path / "state")
    (state_dir / "credentials/0001/issued.json").write_text(f'{{"certificate_id": "{ID}"}}')
    assert f"certificate {ID} stays active" in purge(root_dir, state_dir)
    assert not state_dir.exists()
    assert "issued.json" in re.findall(r"issued\.json", " ".join(e.pattern for e in CONTENTS))


@pytest.mark.parametrize("what", ["fifo", "link", "folder-link", "way-out"])
def test_a_purge_waits_for_nothing_and_follows_no_link(
    root_dir: Path, tmp_path: Path, what: str
) -> None:
    state_dir, outside = filled(tmp_path / "state"), tmp_path / "outside"
    outside.mkdir()
    (outside / "issued.json").write_text(f'{{"certificate_id": "{ID}"}}')
    issued = state_dir / "credentials/0001/issued.json"
    issued.unlink()
    if what == "fifo":
        os.mkfifo(issued)
    elif what == "link":
        issued.symlink_to(outside / "issued.json")
    else:
        current = state_dir / "credentials/current"
        current.unlink()
        current.symlink_to("../../outside" if what == "way-out" else "0002")
        (state_dir / "credentials/0002").symlink_to(outside)
    assert ID not in purge(root_dir, state_dir)
    assert not state_dir.exists()
    assert (outside / "issued.json").exists()
