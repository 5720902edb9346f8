"""A certificate and its key, read from two files."""

from pathlib import Path

import pytest

from fleet_agent.credentials.model import HardwareKey, HardwareToken, Secret
from fleet_agent.credentials.pair import read_pair, read_text
from fleet_agent.errors import DeviceError
from support.certificates import make_pair
from support.users import as_nobody


def test_of_each_what_was_asked_for(tmp_path: Path) -> None:
    made = make_pair(tmp_path / "pair")
    certificate, key = made.certificate.read_text(), made.private_key.read_text()
    both = tmp_path / "a b.pem"
    both.write_text(key + certificate)
    pair = read_pair(both, both)
    assert isinstance(pair.private_key, Secret)
    assert (pair.certificate, pair.private_key.reveal()) == (certificate, key)
    assert (pair.certificate_file, pair.private_key_file) == (str(both), str(both))
    for lacks, words in (
        ((made.private_key, both), "certificate"),
        ((both, made.certificate), "key"),
    ):
        with pytest.raises(DeviceError, match=f"no readable .*{words}") as caught:
            read_pair(*lacks)
        assert str(lacks[words == "key"]) in caught.value.title


def test_a_key_in_a_token_is_named(tmp_path: Path) -> None:
    made = make_pair(tmp_path / "pair")
    token = HardwareToken(module="m", label="t", pin_file="/p", state_dir="/s")
    key = HardwareKey(token=token, label="device")
    pair = read_pair(made.certificate, key)
    assert pair.private_key is key
    assert pair.private_key_file == "pkcs11:token=t;object=device;type=private"


@pytest.mark.parametrize(("owner", "certificate", "key"), [
    (None, "the claim certificate", "the claim's private key"),
    ("device", "the device certificate", "the device's private key"),
])  # fmt: skip
def test_a_file_that_cannot_be_read_is_named_with_whose_it_is(
    tmp_path: Path, owner: str | None, certificate: str, key: str
) -> None:
    made, nothing = make_pair(tmp_path / "pair"), tmp_path / "no such"
    more = () if owner is None else (owner,)
    for files, part in (
        ((nothing, made.private_key), certificate),
        ((made.certificate, nothing), key),
    ):
        with pytest.raises(
            DeviceError, match=f"Cannot read {part} {nothing}: No such file"
        ) as caught:
            read_pair(*files, *more)
        assert caught.value.code == "file-unreadable"
        assert caught.value.remedy
    assert read_text(made.certificate, "it") == made.certificate.read_bytes()


def test_what_the_agents_user_may_not_read_is_told_how_it_may(tmp_path: Path) -> None:
    made = make_pair(tmp_path / "pair")
    tmp_path.chmod(0)
    try:
        with as_nobody(), pytest.raises(DeviceError, match="Permission denied") as caught:
            read_text(made.certificate, "it")
    finally:
        tmp_path.chmod(0o700)
    assert (
        f"chgrp _fleet-agent {made.certificate}; chmod 640 {made.certificate}"
        in caught.value.remedy
    )
    with pytest.raises(DeviceError, match="Is a directory") as caught:
        read_text(tmp_path, "it")
    assert caught.value.remedy == "Name the file itself."
