"""What verify says of a takeover, and what it finds at a folder whose claim is not what a device reads."""

import subprocess
from pathlib import Path

import pytest

from fleet_cloud.commands import verify
from fleet_cloud.console import Console
from fleet_cloud.errors import FleetCloudError
from fleet_cloud.fleet.claim_folder import ClaimFolder
from fleet_cloud.fleet.connection import Identity
from fleet_cloud.local.shell import Shell
from fleet_cloud.practice.verification import Registered, Takeover

NOWHERE = Identity(certificate=Path("c"), key=Path("k"))


def registered(thing: str) -> Registered:
    return Registered(thing=thing, certificate_id="a" * 64, identity=NOWHERE)


@pytest.mark.parametrize(
    ("takeover", "words"),
    [
        (
            Takeover(taken=None, said="403: no"),
            "does not take over an existing device: 403: no",
        ),
        (Takeover(taken=registered("van-1")), "becomes that device: van-1"),
        (Takeover(taken=registered("van-1-2")), "became another thing, van-1-2"),
    ],
)
def test_what_came_of_a_takeover_is_said(takeover: Takeover, words: str) -> None:
    assert words in verify.about(takeover, registered("van-1"))[0]


@pytest.mark.parametrize("form", ["DER", "UTF-16"])
def test_claims_key_that_a_device_could_not_read_is_named(tmp_path: Path, form: str) -> None:
    folder = ClaimFolder(tmp_path)
    words = ["genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256"]
    key = subprocess.run(["openssl", *words], check=True, capture_output=True).stdout
    if form == "DER":
        pkey = ["openssl", "pkey", "-outform", "DER"]
        key = subprocess.run(pkey, input=key, check=True, capture_output=True).stdout
    else:
        key = key.decode().encode("utf-16")
    folder.key.write_bytes(key)
    with pytest.raises(FleetCloudError, match=form):
        folder.certificate_id(Shell(Console(as_json=False, is_verbose=False), dry_run=False))
