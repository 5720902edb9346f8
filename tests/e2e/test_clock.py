"""First boot without a clock: waited for, without a connection, without the status that ends the service.

The agent's wall clock is shifted by a library of the test's own (``support/clock_shift.c``), which awscrt sees as well.
"""

import datetime as dt
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from fleet_agent.clock import BUILT
from iot_sandbox.client import FaultClient
from support.agent import COMMAND, Agent, until
from support.certificates import TOMORROW, make_pair
from support.fleets import Fleet
from support.wire import Wire

pytestmark = pytest.mark.skipif(shutil.which("gcc") is None, reason="no compiler here")

YEAR = 365.25 * 86_400
IN_1970 = -time.time() + 3600
IN_2038 = dt.datetime(2038, 6, 1, tzinfo=dt.UTC).timestamp() - time.time()
BEFORE_THE_CLAIM = BUILT + 3600 - time.time()


@pytest.fixture(scope="session")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The library that shifts a process's clock."""
    made = tmp_path_factory.mktemp("clock") / "clock_shift.so"
    source = Path(__file__).parent.parent / "support" / "clock_shift.c"
    subprocess.run(["gcc", "-shared", "-fPIC", "-O1", "-o", made, source], check=True)
    return made


class Shifted:
    """An agent whose clock the test sets, and the only way that it has to the sandbox."""

    def __init__(self, agent: Agent, library: Path, wire: Wire, seconds: float) -> None:
        self.wire = wire
        self._file = agent.folder / "shift"
        self.set(seconds)
        self.agent = agent.but(port=wire.port)
        self.env = {"LD_PRELOAD": str(library), "CLOCK_SHIFT": str(self._file)}

    def set(self, seconds: float) -> None:
        """Lets its clock differ from the real one by so much."""
        new = self._file.with_suffix(".new")
        new.write_text(f"{seconds:.0f}")
        new.rename(self._file)


Make = Callable[[float], Shifted]


@pytest.fixture
def shifted(fleet: Fleet, faults: FaultClient, tmp_path: Path, library: Path) -> Iterator[Make]:
    """Makes agents with another time."""
    del faults  # none left from the test before
    wires: list[Wire] = []

    def make(seconds: float) -> Shifted:
        folder = tmp_path / str(len(wires))
        folder.mkdir()
        wires.append(Wire(fleet.sandbox.mqtt_port).__enter__())
        return Shifted(Agent(fleet, folder), library, wires[-1], seconds)

    yield make
    for wire in wires:
        wire.__exit__()


def provisioned_once_time_arrives(one: Shifted, words: str) -> None:
    """It waits without a connection, says so, and goes on by itself."""
    with one.agent.running(env=one.env) as daemon:
        daemon.wait_for_line("Waiting for the clock", 40)
        until(lambda: words in str(daemon.shown().get("doing")), words, 20)
        time.sleep(3)
        assert one.wire.connections == 0
        assert daemon.process.poll() is None
        one.set(0)
        daemon.wait_for_line("connected to", 60)
        assert daemon.end() == 0
    assert one.agent.current_id() is not None


def test_a_claim_that_looks_expired_is_waited_with_until_the_clock_is_set(shifted: Make) -> None:
    """As where chrony, of which nothing is known here, corrects a clock that is some years ahead."""
    one = shifted(5 * YEAR)
    with one.agent.running(env=one.env) as daemon:
        daemon.wait_for_line("expired on")
        assert daemon.process.poll() is None
        one.set(0)
        daemon.wait_for_line("connected to", 60)
        assert daemon.end() == 0


@pytest.mark.slow
def test_a_wrong_clock_is_waited_for_and_it_goes_on_by_itself(
    shifted: Make, tmp_path: Path
) -> None:
    """All at once: they wait most of the time."""
    early = shifted(BEFORE_THE_CLAIM)
    tomorrows = shifted(0)
    claim = make_pair(tmp_path / "claim", valid_to=TOMORROW)
    expired = shifted(IN_2038)  # the claim's end is long past then
    cases = [
        (shifted(IN_1970), "it shows 1970-"),
        (shifted(IN_2038), "it shows 2038-"),
        (early, "cannot be right before"),
    ]
    with ThreadPoolExecutor(len(cases)) as pool:
        for found in [pool.submit(provisioned_once_time_arrives, *case) for case in cases]:
            found.result()
    expired.agent = expired.agent.but(cert=claim.certificate, key=claim.private_key)
    done = expired.agent.provision("--timeout", "4", env=expired.env)
    assert (done.status, done.error["code"]) == (69, "clock"), done.stderr
    assert expired.wire.connections == tomorrows.wire.connections == 0


@pytest.mark.slow
def test_a_clock_that_the_time_service_has_not_set_yet(shifted: Make, tmp_path: Path) -> None:
    run = tmp_path / "run-systemd"
    (run / "timesync").mkdir(parents=True)
    inside = ["unshare", "--mount", "sh", "-c", 'mount --bind "$0" /run/systemd && exec "$@"']
    if subprocess.run([*inside, str(run), "true"], check=False, capture_output=True).returncode:
        pytest.skip("no mount of our own here")
    one = shifted(YEAR / 52)
    with one.agent.running(env=one.env, command=[*inside, str(run), str(COMMAND)]) as daemon:
        daemon.wait_for_line("it has not been synchronised yet", 40)
        assert one.wire.connections == 0
        one.set(0)
        (run / "timesync/synchronized").touch()
        daemon.wait_for_line("connected to", 60)
        assert daemon.end() == 0


@pytest.mark.slow
@pytest.mark.parametrize("step", [2 * 3600, 30 * 86_400], ids=["hours", "weeks"])
def test_a_step_in_the_middle_breaks_neither_the_tokens_age_nor_a_wait(
    shifted: Make, faults: FaultClient, step: float
) -> None:
    """A refusal not for the ownership token, minutes after one that looks hours old: no new certificate for it."""
    faults.add("register-thing", "reject", status_code=500)
    faults.add("register-thing", "reject", calls=2, status_code=400, error_code="Other")
    one = shifted(0)
    began = time.monotonic()
    with one.agent.running(env=one.env) as daemon:
        daemon.wait_for_line("Trying again", 40)
        one.set(step)
        daemon.wait_for_line("RegisterThing was refused: 400", 60)
        assert time.monotonic() - began < 60
        assert len(faults.certificates()) == 1
        assert list(one.agent.ledger().values()) == [["issued"]]
        assert daemon.end() == 0


def test_the_clock_library_shifts(library: Path, tmp_path: Path) -> None:
    (tmp_path / "shift").write_text(f"{IN_1970:.0f}")
    reported = subprocess.run(
        [sys.executable, "-c", "import time; print(time.time())"],
        env={"LD_PRELOAD": str(library), "CLOCK_SHIFT": str(tmp_path / "shift")},
        capture_output=True,
        check=True,
        text=True,
    )
    assert abs(float(reported.stdout) - (IN_1970 + time.time())) < 60
