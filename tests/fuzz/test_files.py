"""Files that somebody else wrote, damaged in every way: read, or a named error; never a traceback, never a hang."""

from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as some

from fleet_agent.clock import SystemClock
from fleet_agent.config.load import load
from fleet_agent.credentials import certificates, keys
from fleet_agent.credentials.model import KeyPair, Secret
from fleet_agent.credentials.store import Store
from fleet_agent.errors import AgentError
from fleet_agent.provisioning.clockwatch import looks_valid
from support.certificates import make_certificate
from support.csr import key_pem, make_csr, make_key
from support.fuzzing import TIMES

pytestmark = pytest.mark.slow  # tens of seconds on a small machine

KEY = make_key()
CERTIFICATE, PRIVATE, CSR = make_certificate(KEY), key_pem(KEY).decode(), make_csr(KEY)
CONFIG = b"""\
endpoint: a1-ats.iot.eu-west-1.amazonaws.com
claim: {certificate: claim.pem.crt, private_key: claim.pem.key}
provisioning:
  template: fleet-v1
  parameters: {SerialNumber: {first_of: [{dmi: product_serial}, {mac: eth0}]}, Site: x}
telemetry: {topic: 'dt/{thing}/{source}', sources: [{system: {interval: 60s}}]}
subscriptions: [{topic: 'cmd/{thing}/#', log: true}]
"""
ROUGH = settings(
    max_examples=120 * TIMES,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)


def damaged(whole: bytes) -> some.SearchStrategy[bytes]:
    """The whole with a piece cut out and another one put there, or something else altogether."""

    def cut(place: int, length: int, piece: bytes) -> bytes:
        at = place % (len(whole) + 1)
        return whole[:at] + piece + whole[at + length :]

    places = some.integers(0, len(whole))
    pieces = some.binary(max_size=20) | some.sampled_from([b"\0", b"\xff", b"{", b"- ", b"&a *a "])
    return some.builds(cut, places, some.integers(0, 40), pieces) | some.binary(max_size=200)


def named(act: Callable[[], object]) -> None:
    """Does it; an error must be one of ours, says what to do, and fit a log."""
    raised: AgentError | None = None
    try:
        act()
    except AgentError as error:
        raised = error
    if raised is not None:
        assert raised.title
        assert raised.remedy
        assert raised.exit_status
        assert PRIVATE.splitlines()[1] not in f"{raised.title}{raised.remedy}"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "file"


@given(content=damaged(CONFIG))
@ROUGH
def test_configuration(file: Path, content: bytes) -> None:
    file.write_bytes(content)
    named(lambda: load(file))


@given(certificate=damaged(CERTIFICATE.encode()), private=damaged(PRIVATE.encode()))
@ROUGH
def test_claim(certificate: bytes, private: bytes) -> None:
    for each, other in ((certificate, PRIVATE.encode()), (CERTIFICATE.encode(), private)):
        pair = KeyPair(
            certificate=each.decode("ascii", "replace"),
            private_key=Secret(other.decode("ascii", "replace")),
            certificate_file="claim.pem.crt",
            private_key_file="claim.pem.key",
        )
        looks_valid(pair.certificate, 1.8e9)
        named(lambda pair=pair: certificates.check_pair(pair))  # type: ignore[misc]
        named(lambda pair=pair: certificates.validity(pair.certificate, "claim.pem.crt"))  # type: ignore[misc]


@given(content=damaged(CSR.encode()))
@ROUGH
def test_csr(content: bytes) -> None:
    named(lambda: keys.read_csr(content, "device.csr"))


@given(
    name=some.sampled_from(["attempt.json", "issued.json", "registration.json", "proven"]),
    content=some.binary(max_size=60)
    | some.sampled_from(
        [b"{}", b"[]", b"null", b'{"proven": 1e999}', b'{"tries": "x"}', b'{"tries": 1e9}']
    ),
)
@ROUGH
def test_state_directory(tmp_path: Path, name: str, content: bytes) -> None:
    folder = tmp_path / "credentials" / "0001"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "attempt.json").write_text(
        '{"endpoint": "a", "template": "t", "method": "csr", "parameters_hash": "", "csr_hash": null, '
        '"tries": 1, "not_before": 0.0, "opened": 0.0}'
    )
    (folder / name).write_bytes(content)
    (tmp_path / "ledger.jsonl").write_bytes(content)
    store = Store(tmp_path, SystemClock())
    named(store.pending)
    named(store.ledger.latest)
    for path in folder.iterdir():
        path.unlink()
