"""The soak in small."""

from pathlib import Path

import pytest

from soak.soak import Soak
from support import mosquitto

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not mosquitto.is_installed(), reason="needs Debian's mosquitto"),
]


def test_nothing_acknowledged_is_lost_while_broker_and_agent_come_and_go(tmp_path: Path) -> None:
    soak = Soak(tmp_path, 20_000, 1, kills=2, restarts=2)
    try:
        found = soak.run()
    finally:
        soak.close()
    assert (found.missing, found.out_of_order, found.refused) == (0, 0, [])
    assert (found.kills, found.restarts) == (2, 2)
    assert found.duplicates < 20_000
