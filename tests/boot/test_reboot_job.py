"""An AWS IoT Job that restarts a booted device by the helper: it goes, comes back, and reports success."""

import json
import shutil
from typing import Any

from boot.machine import Machine
from support.agent import until
from support.fleets import allow_orders

# As AWS-Reboot has it.
ACTION = {
    "name": "Reboot",
    "type": "runHandler",
    "input": {"handler": "reboot.sh", "path": ""},
    "runAsUser": "",
}
DOCUMENT = {"version": "1.0", "steps": [{"action": ACTION}]}


def test_a_job_restarts_the_device_which_comes_back_and_reports_success(device: Machine) -> None:
    allow_orders(device.fleet)
    device.configure(
        handlers={"reboot": {"helper": {"name": "reboot", "timeout": "2m"}}},
        jobs={"enabled": True, "operations": {"reboot.sh": "reboot"}},
    )
    for name in ("reboot", "reboot.profile"):
        source = device.root / "usr/share/fleet-agent/helpers.d" / name
        shutil.copy(source, device.root / "etc/fleet-agent/helpers.d" / name)
    wants = device.root / "etc/systemd/system/sockets.target.wants"
    wants.mkdir(parents=True, exist_ok=True)
    (wants / "fleet-agent-helper.socket").symlink_to(
        "/usr/lib/systemd/system/fleet-agent-helper.socket"
    )
    iot, job = device.fleet.iot, f"reboot-{device.serial}"

    def execution() -> Any:
        found = iot.describe_job_execution(jobId=job, thingName=device.thing_name)
        return found["execution"]

    with device.booted():
        device.wait_connected()
        certificate_id = device.certificate_id()
        thing = iot.describe_thing(thingName=device.thing_name)["thingArn"]
        iot.create_job(jobId=job, targets=[thing], document=json.dumps(DOCUMENT))
        device.wait_restart()
        assert execution()["status"] == "IN_PROGRESS"  # not before it is up again
        device.wait_connected()
        until(lambda: execution()["status"] == "SUCCEEDED", "the job's success", 60)
        assert device.certificate_id() == certificate_id
        assert "exit-status" in execution()["statusDetails"]["detailsMap"]
