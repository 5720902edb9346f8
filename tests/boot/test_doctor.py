"""The doctor on a booted device, as its root: systemd's word, the agent's user's eyes, and the service put right."""

import json
from typing import Any

from boot.machine import UNIT, Machine


def ask(device: Machine, *flags: str) -> dict[str, Any]:
    """What the doctor says there."""
    done = device.attempt("fleet-agent", "doctor", "--json", "--account", "0" * 12, *flags)
    assert done.returncode in (0, 1), done.stderr
    answer: dict[str, Any] = json.loads(done.stdout)
    assert done.returncode == int(answer["failed"] > 0)
    return answer


def wrong(answer: dict[str, Any]) -> set[str]:
    """The codes of what is wrong."""
    return {
        finding["code"]
        for finding in answer["findings"]
        if finding["level"] in ("failed", "warning")
    }


def test_the_doctor_on_a_booted_device(device: Machine) -> None:
    device.configure()
    with device.booted():
        device.wait_connected()
        running = ask(device, "--online")
        reported = {finding["code"]: finding for finding in running["findings"]}
        assert running["failed"] == 0, running
        assert "device-in-use" in reported
        assert "systemd reports it as active" in str(running["findings"])

        device.drop_in("[Service]\nUser=root\nMemroyMax=1G\n")
        device.run("chmod", "644", "/var/lib/fleet-agent/credentials/current/private.pem.key")
        device.run("systemctl", "stop", UNIT)
        device.run(
            "chown", "-R", "root:", "/var/lib/fleet-agent/credentials", "/etc/fleet-agent/claim"
        )
        found = wrong(ask(device))
        wanted = {"unit-user-root", "unit-verify", "key-readable", "state-owner",
                  "not-readable-by-agent"}  # fmt: skip
        assert wanted <= found, found

        device.run("rm", f"/etc/systemd/system/{UNIT}.d/test.conf")
        device.run("systemctl", "daemon-reload")
        fixed = ask(device, "--fix", "--online", "--bundle", "/root/support.tar.gz")
        assert fixed["failed"] == 0, fixed
        assert {
            finding["level"]
            for finding in fixed["findings"]
            if finding["check"] == "as the device"
        } <= {
            "ok",
            "note",
        }
        assert "connected to" in device.run(
            "tar", "xzOf", "/root/support.tar.gz", "fleet-agent/journal.txt"
        )
        assert wrong(ask(device)) <= {"service-disabled"}
        device.run("systemctl", "start", UNIT)
        device.wait_connected()
