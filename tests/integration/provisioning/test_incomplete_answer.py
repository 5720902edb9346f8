"""An answer that names a certificate and lacks the rest: the certificate exists, and the ledger says so."""

from pathlib import Path

import pytest

from iot_sandbox.client import FaultClient
from support.agent import Agent
from support.fleets import Fleet


@pytest.mark.parametrize("field", ["certificateOwnershipToken", "certificatePem"])
def test_a_certificate_without_all_its_parts_is_named(
    fleet: Fleet, tmp_path: Path, faults: FaultClient, field: str
) -> None:
    faults.add("create-from-csr", "drop-fields", fields=[field])
    agent = Agent(fleet, tmp_path)
    done = agent.provision()
    assert done.status == 0, done.stderr
    unusable, used = faults.certificates()
    assert agent.ledger()[unusable] == ["foreign"]
    assert agent.current_id() == used
