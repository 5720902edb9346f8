"""The section ``identity``: a pair to adopt, or only when an identity is dead, or both."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from fleet_agent.config.load import load
from fleet_agent.config.settings import Settings
from fleet_agent.errors import ConfigurationError


def read(folder: Path, identity: Any) -> Settings:
    file = folder / "config.yaml"
    file.write_text(yaml.safe_dump({"endpoint": "a.example.com", "identity": identity}))
    return load(file)


def test_dead_after_alone_adopts_nothing(tmp_path: Path) -> None:
    found = read(tmp_path, {"dead_after": "6h"}).identity
    assert (found.dead_after, found.pair) == (6 * 3600.0, None)
    assert read(tmp_path, {}).identity.dead_after == 3600.0


def test_pair_with_and_without_dead_after(tmp_path: Path) -> None:
    pair = {"certificate": "/a.crt", "private_key": "/a.key"}
    assert read(tmp_path, pair).identity.pair == ("/a.crt", "/a.key")
    found = read(tmp_path, {**pair, "dead_after": "30m", "thing_name": "pump-7"}).identity
    assert (found.dead_after, found.thing_name) == (1800.0, "pump-7")


@pytest.mark.parametrize(
    ("identity", "words"),
    [
        ({"certificate": "/a.crt"}, "no private_key"),
        ({"private_key": "/a.key"}, "no certificate"),
        ({"thing_name": "pump-7"}, "no certificate to adopt"),
        ({"thing_name_from": "cn", "dead_after": "1h"}, "no certificate to adopt"),
        ({"dead_after": "0s"}, "dead_after"),
        ({"dead_after": "soon"}, "dead_after"),
    ],
)
def test_what_makes_no_sense(tmp_path: Path, identity: Any, words: str) -> None:
    with pytest.raises(ConfigurationError) as found:
        read(tmp_path, identity)
    assert words in " ".join(found.value.problems)
