"""Credentials to show: with a key in a file, and with one in a hardware token."""

import dataclasses
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from fleet_agent.credentials.hardware_token import keys
from fleet_agent.credentials.model import HardwareKey, HardwareToken, KeyPair
from support.certificates import loaded, make_certificate, make_pair
from support.csr import make_key


@pytest.fixture
def pair(tmp_path: Path) -> KeyPair:
    return loaded(make_pair(tmp_path / "pair"))


@pytest.fixture(scope="session")
def key(token: HardwareToken) -> Iterator[HardwareKey]:
    """In the token, beside another."""
    made = [HardwareKey(token=token, label=label, is_ours=True) for label in ("tls", "more")]
    for each in made:
        keys.make(each, "ec-p256")
    yield made[0]
    for each in made:
        keys.destroy(each)


@pytest.fixture
def hidden(key: HardwareKey, pair: KeyPair) -> KeyPair:
    """A pair whose key is in the token."""
    public: Any = keys.public_key(key)
    certificate = make_certificate(make_key(), public_key=public)
    return dataclasses.replace(pair, certificate=certificate, private_key=key)
