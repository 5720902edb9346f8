"""A device is switched on: first boot, second boot, and what systemd and people are told meanwhile."""

import json
import random
import shutil
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from boot import roots
from boot.machine import UNIT, Machine
from fleet_agent.process.log import Moment
from support.agent import until
from support.secrets import secrets_in, tokens_of


def test_first_boot_provisions_and_the_second_only_connects(device: Machine) -> None:
    with device.booted():
        shown = device.wait_connected()
        assert shown["NRestarts"] == "0"
        assert shown["User"] == "_fleet-agent"
        certificate_id = device.certificate_id()
        assert certificate_id is not None
        assert device.fleet.certificate_ids(device.thing_name) == [certificate_id]

        # What somebody at the device sees.
        status = device.run("systemctl", "status", UNIT)
        assert device.thing_name in status
        assert certificate_id in status
        answer = json.loads(device.run("fleet-agent", "status", "--json"))
        assert answer["thing_name"] == device.thing_name

        # What programs find in the journal.
        provisioned = device.journal(f"MESSAGE_ID={Moment.PROVISIONED.value}")
        assert [entry["FLEET_AGENT_CERTIFICATE_ID"] for entry in provisioned] == [certificate_id]
        assert provisioned[0]["FLEET_AGENT_ATTEMPT"] == "1"
        steps = [entry.get("FLEET_AGENT_STEP") for entry in device.journal()]
        assert {"certificate", "registered", "proven"} <= set(steps)
        explained = device.run("journalctl", "-x", f"MESSAGE_ID={Moment.CONNECTED.value}")
        assert "Connected to AWS IoT Core" in explained
        assert f"{certificate_id}: readings go up" in " ".join(explained.split()).replace("░ ", "")
        assert not secrets_in(device.journal_text(), tokens_of(device.state))
    # Off, and its state restored by root: a new card, a backup.
    for path in (
        device.state / "lock",
        device.state / "ledger.jsonl",
        device.state / "credentials",
    ):
        roots.run("chown", "-R", "0:0", str(path))
    with device.booted():
        device.wait_connected()
        assert not device.journal(f"MESSAGE_ID={Moment.PROVISIONED.value}")
        assert device.certificate_id() == certificate_id
    assert [entry["event"] for entry in device.ledger()] == ["issued", "registered", "current"]
    assert device.fleet.certificate_ids(device.thing_name) == [certificate_id]


def test_root_keeps_what_was_checked_for_the_next_start(device: Machine) -> None:
    kept = device.root / "etc/fleet-agent/config.yaml.checked"
    mark = device.root / "run/fleet-agent/config-unchecked"
    check = "fleet-agent-check.service"

    def settled(runs: int) -> int:
        """The file's number once the check was kept so many times."""

        def finished() -> int:
            return device.run("journalctl", "-b", "-o", "cat", "-u", check).count("Finished")

        until(lambda: finished() == runs and not mark.exists(), f"{check}: {runs} runs")
        return kept.stat().st_ino

    def restart(runs: int) -> int:
        device.run("systemctl", "restart", UNIT)
        device.wait_connected()
        return settled(runs)

    with device.booted():
        device.wait_connected()
        number = settled(1)
        config = device.root / "etc/fleet-agent/config.yaml"
        found, configured = kept.stat(), config.stat()
        assert (found.st_uid, found.st_gid) == (configured.st_uid, configured.st_gid)
        assert found.st_mode == configured.st_mode
        # Found, and therefore not written again.
        assert restart(1) == number
        # Of root's group, and readable to all: the agent may read what comes of both, and finds it, too.
        device.write("etc/fleet-agent/config.d/a.yaml", "connection: {keep_alive: 5m}\n")
        again = restart(2)
        assert again != number
        assert restart(2) == again
        device.run("systemctl", "stop", UNIT)
        shown = device.attempt("systemctl", "is-active", "fleet-agent-check.path", check)
        assert shown.stdout.split() == ["inactive", "inactive"]


def test_without_a_configuration_nothing_runs_and_nothing_fails(
    make_machine: Callable[[], Machine],
) -> None:
    device = make_machine()
    with device.booted():
        shown = device.wait_shown(ConditionResult="no", ActiveState="inactive")
        assert shown["UnitFileState"] == "enabled"
        assert "fleet-agent" not in device.run("systemctl", "--failed", "--plain", "--no-legend")


def test_the_network_comes_later(device: Machine) -> None:
    device.network.switch(on=False)
    try:
        with device.booted():
            # Ready without AWS: what is ordered after the service must not wait for the network.
            shown = device.wait_shown(ActiveState="active", StatusText="Trying again")
            assert shown["NRestarts"] == "0"
            waiting = device.journal(f"MESSAGE_ID={Moment.WAITING.value}")
            assert waiting
            assert waiting[0]["FLEET_AGENT_PROBLEM"]
            device.network.switch(on=True)
            assert device.wait_connected()["NRestarts"] == "0"
    finally:
        device.network.switch(on=True)


def test_boots_in_the_wrong_year(device: Machine, clock_shift: Path) -> None:
    shutil.copy(clock_shift, device.root / "usr/lib/clock-shift.so")
    device.write("etc/clock-shift", str(-30 * 365 * 86400))
    device.drop_in("[Service]\nEnvironment=LD_PRELOAD=/usr/lib/clock-shift.so\n")
    with device.booted():
        shown = device.wait_shown(ActiveState="active", StatusText="clock")
        assert not device.ledger()
        device.write("etc/clock-shift", "0")  # as timesyncd would set it
        assert device.wait_connected()["NRestarts"] == shown["NRestarts"] == "0"
    assert len(device.ledger()) == 3


def test_a_configuration_error_fails_clearly_and_once(device: Machine) -> None:
    device.configure(endpoynt="x")
    with device.booted():
        shown = device.wait_shown(ActiveState="failed", SubState="failed")
        assert shown["Result"] == "exit-code"
        assert shown["ExecMainStatus"] == "78"
        assert shown["NRestarts"] == "0"

        def status() -> str:
            return device.attempt("systemctl", "status", UNIT).stdout

        # The journal has it a moment after the unit has ended.
        until(lambda: "config.yaml:" in status(), "why it failed")
        assert "endpoynt" in status()
        (entry,) = device.journal(f"MESSAGE_ID={Moment.FAILED.value}")
        assert entry["FLEET_AGENT_PROBLEM"] == "configuration"
        assert "did you mean" in entry["MESSAGE"]
        assert entry["PRIORITY"] == "3"
        # Mended, it goes on from there.
        device.configure()
        device.run("systemctl", "restart", UNIT)
        device.wait_connected()


def test_the_watchdog_ends_a_loop_that_hangs(device: Machine) -> None:
    device.drop_in("[Service]\nWatchdogSec=2s\nTimeoutAbortSec=1s\nRestartSec=1s\n")
    with device.booted():
        hung = device.wait_connected()["MainPID"]
        time.sleep(3)  # longer than the watchdog's patience: a loop at work feeds it
        assert device.show()["MainPID"] == hung
        device.run("sh", "-c", f"kill -STOP {hung}")
        # The new process asserts nothing of the old one's; systemd's line does.
        until(lambda: "watchdog timeout" in device.journal_text().lower(), "the watchdog's line")
        after = device.wait_shown(ActiveState="active", StatusText="connected as", NRestarts="1")
        assert after["MainPID"] != hung
    assert len(device.ledger()) == 3


def test_power_is_taken_away_while_it_provisions(make_machine: Callable[[], Machine]) -> None:
    """Ten devices, each cut off at a random moment of its provisioning and switched on again, the first ones early."""
    devices = [make_machine() for _ in range(10)]
    moments = random.Random()
    with ThreadPoolExecutor(3) as pool:
        cut = [
            pool.submit(cut_and_boot, each, moments.uniform(0.0, number / len(devices)))
            for number, each in enumerate(devices, 1)
        ]
        before = [future.result() for future in cut]
    assert any(found is None for found in before), "no cut came before the end of provisioning"


def cut_and_boot(device: Machine, moment: float) -> str | None:
    """Cuts it off ``moment`` seconds after its first write, boots it again; gives the identity it had when cut off."""
    device.configure()
    with device.booted():
        # The lock comes first.
        until((device.state / "lock").exists, "the agent's first write", 60)
        time.sleep(moment)
    before = device.certificate_id()
    known_before = {entry["certificate_id"] for entry in device.ledger()}
    with device.booted():
        assert device.wait_connected()["NRestarts"] == "0"
    certificate_id = device.certificate_id()
    known = {entry["certificate_id"] for entry in device.ledger()}
    assert certificate_id is not None
    assert before in {None, certificate_id}
    assert known_before <= known
    # The ledger names every certificate that is good for anything.
    assert device.fleet.certificate_status(certificate_id) == "ACTIVE"
    assert certificate_id in device.fleet.certificate_ids(device.thing_name)
    assert set(device.fleet.certificate_ids(device.thing_name)) <= known
    return before
