"""The end of the claim: which starts count, when the mark is left, and what root would delete."""

import dataclasses
import os
from pathlib import Path

import pytest

from fleet_agent.config.provisioning import Claim
from fleet_agent.errors import DeviceError
from fleet_agent.health.status import Health
from fleet_agent.identity import claim_removal
from support.clock import FakeClock


@dataclasses.dataclass
class Counts:
    acknowledged: int = 0


def make_claim(folder: Path, **more: object) -> Claim:
    folder.mkdir(exist_ok=True)
    files = folder / "claim.crt", folder / "claim.key"
    for file in files:
        file.write_text("-----BEGIN THAT-----\n")
    values: dict[str, object] = {"after_success": "delete", "good_starts": 2, **more}
    return Claim(certificate=str(files[0]), private_key=str(files[1]), **values)  # type: ignore[arg-type]


class Process:
    """One start of the agent."""

    def __init__(self, state: Path, claim: Claim | None) -> None:
        self.clock, self.counts = FakeClock(), Counts()
        self.state = state
        self.health = Health(state / "run", self.clock)
        self.starts = claim_removal.Starts(state, self.clock, self.health)
        self.starts.watch(claim, self.counts)

    def passes(self, seconds: float = 60.0) -> None:
        until = self.clock.monotonic() + seconds
        while self.starts.due <= until:
            self.clock.go(self.starts.due - self.clock.monotonic())
            self.starts.act()
        self.clock.go(until - self.clock.monotonic())

    def well(self) -> None:
        self.counts.acknowledged = 1
        self.passes()

    def problems(self) -> str:
        return (self.state / "run" / "status.json").read_text()


def test_the_mark_is_left_after_so_many_starts_that_went_well(tmp_path: Path) -> None:
    claim, mark = make_claim(tmp_path / "claim"), tmp_path / claim_removal.SERVED
    Process(tmp_path, claim).passes()  # nothing acknowledged: not a good one
    first = Process(tmp_path, claim)
    first.well()
    first.starts.watch(claim, first.counts)  # SIGHUP: the same start
    first.passes()
    assert not mark.exists()
    Process(tmp_path, claim).well()
    assert mark.exists()
    third = Process(tmp_path, claim)  # root has not deleted it: it is said
    assert "claim-not-deleted" in third.problems()


@pytest.mark.parametrize(
    "torn", [b"", b"{", b"[]", b'{"good_starts": "9"}', b'{"good_starts": -5}']
)
def test_a_torn_count_begins_again(tmp_path: Path, torn: bytes) -> None:
    claim = make_claim(tmp_path / "claim")
    (tmp_path / claim_removal.STARTS).write_bytes(torn)
    Process(tmp_path, claim).well()
    assert not (tmp_path / claim_removal.SERVED).exists()
    Process(tmp_path, claim).well()
    assert (tmp_path / claim_removal.SERVED).exists()


def test_no_claim_or_one_that_is_kept_costs_nothing(tmp_path: Path) -> None:
    kept = make_claim(tmp_path / "claim", after_success="keep")
    gone = dataclasses.replace(
        kept, after_success="delete", certificate="/x/c", private_key="/x/k"
    )
    for claim in (None, kept, gone):
        process = Process(tmp_path, claim)
        process.well()
        assert process.starts.due == float("inf")
    assert not (tmp_path / claim_removal.STARTS).exists()


def test_a_default_in_the_place_of_a_credential_is_no_claim(tmp_path: Path) -> None:
    claim = Claim(certificate="credential:c", private_key="credential:k")
    (tmp_path / "c").write_text("gone")
    (tmp_path / "k").write_text("gone")
    environment = {"CREDENTIALS_DIRECTORY": str(tmp_path)}
    assert not claim_removal.is_there(claim, environment)
    (tmp_path / "k").write_text("-----BEGIN PRIVATE KEY-----")
    assert claim_removal.is_there(claim, environment)


def test_key_and_certificate_go_a_link_with_its_target(tmp_path: Path) -> None:
    claim, key = make_claim(tmp_path / "claim"), tmp_path / "elsewhere.key"
    Path(claim.private_key).rename(key)
    Path(claim.private_key).symlink_to(key)
    wanted = claim_removal.plan(claim)
    assert [*wanted.delete] == [key, Path(claim.private_key), Path(claim.certificate)]
    claim_removal.delete(wanted)
    assert not key.exists()
    assert [*(tmp_path / "claim").iterdir()] == []
    again = claim_removal.plan(claim)
    assert [*again.delete] == []
    assert [*again.gone] == [Path(claim.private_key), Path(claim.certificate)]


@pytest.mark.skipif(os.geteuid() != 0, reason="gives folders away")
def test_nothing_is_deleted_where_others_may_exchange_it(tmp_path: Path) -> None:
    claim = make_claim(tmp_path / "claim")
    (tmp_path / "claim").chmod(0o777)
    with pytest.raises(DeviceError, match="Users other than root can write"):
        claim_removal.plan(claim)
    (tmp_path / "claim").chmod(0o755)
    os.chown(tmp_path / "claim", 1, 1)
    with pytest.raises(DeviceError, match="Users other than root can write"):
        claim_removal.plan(claim)


@pytest.mark.skipif(os.geteuid() != 0, reason="gives folders away")
@pytest.mark.parametrize("place", ["claim", "."])
def test_no_link_is_followed_out_of_a_folder_of_the_agents_group(
    tmp_path: Path, place: str
) -> None:
    claim, victim = make_claim(tmp_path / "claim"), tmp_path / "victim"
    victim.write_text("root's")
    Path(claim.private_key).unlink()
    Path(claim.private_key).symlink_to(victim)
    os.chown(tmp_path / place, 0, 65534)
    (tmp_path / place).chmod(0o770)
    with pytest.raises(DeviceError, match="Users other than root can write"):
        claim_removal.plan(claim)
    assert victim.exists()


def test_a_key_in_a_token_stays(tmp_path: Path) -> None:
    claim = make_claim(tmp_path / "claim")
    wanted = claim_removal.plan(dataclasses.replace(claim, private_key="pkcs11:token=t;object=o"))
    assert [*wanted.delete] == [Path(claim.certificate)]
    assert "token" in wanted.stays[0]


UNIT = """\
# /lib/systemd/system/fleet-agent.service
[Service]
LoadCredential=old:/a/old
LoadCredential=
LoadCredential=claim-certificate:/a/c
SetCredential=claim-certificate:gone

# /etc/systemd/system/fleet-agent.service.d/claim.conf
[Service]
LoadCredentialEncrypted = claim-key:/a/k
LoadCredential=pin
# LoadCredential=remarked:/x
"""


def test_credentials_as_the_unit_and_its_drop_ins_name_them() -> None:
    found = {"claim-certificate": "/a/c", "claim-key": "/a/k", "pin": "pin"}
    assert {name: str(path) for name, path in claim_removal.parse(UNIT).items()} == found
    assert claim_removal.parse("") == {}
