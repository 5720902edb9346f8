"""A kill before any system call that changes a file, and every one of them failing: what is left is always whole."""

import shutil
import stat
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from fleet_agent.credentials.model import Generation, Registration, Secret
from fleet_agent.credentials.store import Store
from fleet_agent.errors import AgentError, Exit
from fleet_agent.provisioning.machine import next_step
from fleet_agent.provisioning.model import Step
from support.clock import FakeClock
from support.provisioning import make_plan
from support.strace import Call, Program, was_killed
from support.walks import current, issued, walk

pytestmark = pytest.mark.slow  # a process a system call

DRIVER = str(Path(__file__).with_name("store_walk.py"))
NAMES = (
    "attempt.json",
    "private.pem.key",
    "certificate.pem.crt",
    "issued.json",
    "registration.json",
    "proven",
)
# Between them they hold every write of a walk by either method.
SCENARIOS = ("restart", "refused token")


class Device:
    """A state directory with the identity ``a`` (and an attempt ``p`` under way, to be restarted), put back at will."""

    def __init__(self, folder: Path, scenario: str) -> None:
        self.state_dir = folder / "state"
        self.scenario = scenario
        self.record = folder / "strace"
        self._start = folder / "start"
        self._start.mkdir()
        store = Store(self._start, FakeClock())
        walk(store, "a")
        if scenario == "restart":
            walk(store, "p", "registered")
        self.put_back()

    @property
    def store(self) -> Store:
        return Store(self.state_dir, FakeClock())

    @property
    def program(self) -> Program:
        words = [sys.executable, "-I", "-S", DRIVER, str(self.state_dir), self.scenario]
        return Program(words, list(self._paths()))

    def put_back(self) -> None:
        shutil.rmtree(self.state_dir, ignore_errors=True)
        shutil.copytree(self._start, self.state_dir, symlinks=True)

    def _paths(self) -> Iterator[Path]:
        credentials = self.state_dir / "credentials"
        yield from (self.state_dir, self.state_dir / "ledger.jsonl", credentials)
        yield from (credentials / "current", credentials / ".current.tmp")
        for number in ("0001", "0002", "0003"):
            yield credentials / number
            for name in NAMES:
                yield from (credentials / number / name, credentials / number / f".{name}.tmp")


@pytest.fixture
def device(request: pytest.FixtureRequest, tmp_path: Path) -> Device:
    return Device(tmp_path, request.param)


# What must hold -------------------------------------------------------------------------------------------------------


def look(device: Device) -> None:
    """The directory opens, the identity is whole, and the ledger knows every certificate there is."""
    store = device.store
    in_use = current(store)
    pair = store.key_pair(in_use.generation)
    name = in_use.certificate_id.removeprefix("c-")
    assert name in ("a", "b")
    assert (pair.certificate, pair.private_key) == (f"certificate {name}", Secret(f"key {name}"))
    store.pending()
    known = store.ledger.latest()
    for path in device.state_dir.rglob("*"):
        if path.is_symlink() or not path.is_file():
            continue
        if path.name == "certificate.pem.crt":
            assert path.read_text().replace("certificate ", "c-") in known
        if "key" in path.name:
            assert stat.S_IMODE(path.stat().st_mode) & 0o077 == 0
    found = store.pending()
    if device.scenario == "restart" and (found is None or found.number != 2):
        assert known["c-p"] in ("dropped", "unresolved"), "given up without a word"


def go_on(device: Device) -> None:
    """The next start walks to the end from what it finds, and the ledger tells what became of each."""
    store = device.store
    by_aws = device.scenario == "refused token"
    plan = make_plan("keys" if by_aws else "csr")
    if current(store).certificate_id == "c-a":
        found = store.pending()
        while (step := next_step(found, plan)) is not Step.PROMOTE:
            found = one_step(store, step, found, by_aws=by_aws)
        assert found is not None
        store.promote(found)
    store.update_ledger()
    in_use = current(store)
    pair = store.key_pair(in_use.generation)
    name = pair.certificate.removeprefix("certificate")
    assert pair.private_key == Secret(f"key{name}")
    latest = store.ledger.latest()
    assert latest.pop("c-a") == "retired"
    assert latest.pop(in_use.certificate_id) == "current"
    assert set(latest.values()) <= {"dropped", "unresolved", "issued"}, latest
    assert len(latest) <= 2


def one_step(store: Store, step: Step, found: Generation | None, *, by_aws: bool) -> Generation:
    if step is Step.OPEN or found is None:
        return walk(store, "n", "attempt")
    number = found.number
    if step is Step.KEY:
        return store.keep_key(found, Secret("key n"))
    if step is Step.ISSUE:
        made = Secret("key n") if by_aws else store.key(number)
        assert isinstance(made, Secret)
        name = made.reveal().removeprefix("key ")
        key = Secret("key n") if by_aws else None
        return store.keep_certificate(found, issued(name), f"certificate {name}", key)
    if step is Step.REGISTER:
        answer = Registration(thing_name="thing", device_configuration={})
        return store.keep_registration(found, answer)
    return store.mark_proven(found, "in a test")


# Where it is killed, and what fails ----------------------------------------------------------------------------------


@pytest.mark.parametrize("device", SCENARIOS, indirect=True)
def test_killed_before_any_call_that_changes_a_file(device: Device) -> None:
    points = [call for call in device.program.calls(device.record) if call.changes]
    look(device)
    assert current(device.store).certificate_id == "c-b"
    assert len(points) > 30
    seen = set()
    for call in points:
        device.put_back()
        assert was_killed(device.program.killed_at(call.name, call.count, device.record)), call
        look(device)
        seen.add(current(device.store).certificate_id)
        go_on(device)
    assert seen == {"c-a", "c-b"}


@pytest.mark.parametrize("device", ["naive"], indirect=True)
def test_a_naive_writer_is_caught(device: Device) -> None:
    caught = 0
    for call in device.program.calls(device.record):
        if not call.changes:
            continue
        device.put_back()
        assert was_killed(device.program.killed_at(call.name, call.count, device.record)), call
        try:
            look(device)
        except (AssertionError, AgentError):
            caught += 1
    assert caught >= 3


@pytest.mark.parametrize("device", ["restart"], indirect=True)
def test_any_call_that_fails_is_told_in_our_words_and_leaves_everything_whole(
    device: Device,
) -> None:
    for call in device.program.calls(device.record):
        if call.changes or call.name == "fsync":
            device.put_back()
            done = device.program.failed_at(call.name, call.count, "EIO", device.record)
            assert done.returncode == Exit.CANNOT_WRITE, call
            look(device)


# What a power cut may take: nothing that was not synced ------------------------------------------------------------


def is_to(call: Call, name: str) -> bool:
    return any(path.endswith(name) for path in call.paths)


def look_at_the_order(calls: list[Call]) -> None:
    # Files with content and folders with names that a power cut may take.
    unsynced: set[str] = set()
    for call in calls:
        target = call.paths[-1]
        folder = str(Path(target).parent)
        if call.name == "write":
            unsynced.add(target)
        elif call.name == "fsync":
            unsynced.discard(target)
        elif call.name.startswith("rename"):
            assert call.paths[0] not in unsynced, f"{target} is named before its content is there"
            if target.endswith("/current"):
                assert not unsynced - {folder}, "the swap comes before what it points to"
            unsynced.add(folder)
        elif call.name.startswith("mkdir"):
            unsynced.add(folder)
        elif call.name == "openat" and target.endswith("certificate.pem.crt.tmp"):
            assert not any(path.endswith("ledger.jsonl") for path in unsynced)
    assert not unsynced, "something is never synced"


@pytest.mark.parametrize("device", SCENARIOS, indirect=True)
def test_content_is_on_the_disk_before_its_name_and_its_name_before_the_swap(
    device: Device,
) -> None:
    look_at_the_order([call for call in device.program.calls(device.record) if not call.failed])


@pytest.mark.parametrize("device", ["naive"], indirect=True)
def test_a_writer_that_never_syncs_is_caught(device: Device) -> None:
    with pytest.raises(AssertionError, match="never synced"):
        look_at_the_order(device.program.calls(device.record))


@pytest.mark.parametrize("device", ["restart"], indirect=True)
def test_the_ledger_is_on_the_disk_before_the_certificate_is_touched(device: Device) -> None:
    calls = device.program.calls(device.record)
    stored = next(i for i, c in enumerate(calls) if is_to(c, "0003/.certificate.pem.crt.tmp"))
    before = [call.name for call in calls[:stored] if is_to(call, "ledger.jsonl")]
    assert before[-2:] == ["write", "fsync"]
    assert before.count("write") == 2  # what becomes of the old attempt's, and the new one
