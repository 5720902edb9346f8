import json
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as some

from fleet_agent.credentials.ledger import Ledger
from fleet_agent.credentials.model import Event
from fleet_agent.errors import StateDirectoryError


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "ledger.jsonl"


def test_no_ledger_yet(path: Path) -> None:
    assert Ledger(path).latest() == {}


def test_a_line_an_event(path: Path) -> None:
    Ledger(path).record("c1", Event.ISSUED, 3, 0.0)
    assert json.loads(path.read_text()) == {
        "time": "1970-01-01T00:00:00Z",
        "certificate_id": "c1",
        "event": "issued",
        "generation": 3,
    }
    assert path.read_text().endswith("}\n")


def test_the_last_word_on_each_certificate_in_the_order_they_came(path: Path) -> None:
    ledger = Ledger(path)
    for certificate_id, event, generation in (
        ("c2", Event.ISSUED, 1),
        ("c1", Event.ISSUED, 2),
        ("c2", Event.UNRESOLVED, 1),
        ("c1", Event.REGISTERED, 2),
    ):
        ledger.record(certificate_id, event, generation, 1.0)
    assert list(ledger.latest().items()) == [("c2", "unresolved"), ("c1", "registered")]
    assert ledger.latest(2) == {"c1": "registered"}
    assert ledger.latest(3) == {}


@pytest.mark.parametrize("torn", [b'{"time": "20', b"{", b'{"certificate_id": "c9", "event"'])
def test_a_line_torn_by_a_power_cut_is_closed_off_and_passed_over(path: Path, torn: bytes) -> None:
    ledger = Ledger(path)
    ledger.record("c1", Event.ISSUED, 1, 1.0)
    with path.open("ab") as file:
        file.write(torn)
    assert ledger.latest() == {"c1": "issued"}
    ledger.record("c2", Event.ISSUED, 2, 1.0)
    assert ledger.latest() == {"c1": "issued", "c2": "issued"}


@settings(
    suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=60
)
@given(
    rubbish=some.binary(max_size=40) | some.sampled_from([b"[]", b"1", b'{"event": 1}', b"null"])
)
def test_rubbish_hides_no_line_beside_it(path: Path, rubbish: bytes) -> None:
    path.unlink(missing_ok=True)
    ledger = Ledger(path)
    ledger.record("c1", Event.ISSUED, 1, 1.0)
    with path.open("ab") as file:
        file.write(rubbish)
    ledger.record("c2", Event.ISSUED, 2, 1.0)
    assert ledger.latest() == {"c1": "issued", "c2": "issued"}
    assert ledger.latest(2) == {"c2": "issued"}


def test_a_link_in_its_place(path: Path, tmp_path: Path) -> None:
    path.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(StateDirectoryError, match="symbolic link"):
        Ledger(path).record("c1", Event.ISSUED, 1, 1.0)
    assert not (tmp_path / "elsewhere").exists()
