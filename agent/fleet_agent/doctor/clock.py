"""The clock: whether it is plausible."""

import math

from fleet_agent.clock import BUILT, patience, text
from fleet_agent.doctor.device import Device
from fleet_agent.doctor.finding import Findings, Subject

_ABOUT = Subject("clock")
_REMEDY = "timedatectl set-ntp true   (or timedatectl set-time, or a battery-backed clock)"


def check(device: Device) -> Findings:
    """Checks the clock."""
    now, vouched = device.clock.wall(), device.clock.is_synchronised()
    wait = patience(now, vouched)
    if wait == math.inf:
        yield _ABOUT.failed(
            "clock-unset",
            f"The clock shows {text(now)}; this agent was built after {text(BUILT)}.",
            "",
            _REMEDY,
        )
        return
    credential = device.credential()
    if credential and credential.proven and now < credential.proven:
        yield _ABOUT.failed(
            "clock-back",
            f"The clock shows {text(now)}, before this device was provisioned ({text(credential.proven)}).",
            "",
            _REMEDY,
        )
    elif wait > 0:
        yield _ABOUT.warning(
            "clock-not-synchronised",
            f"The clock shows {text(now)}, but is not synchronised: systemd-timesyncd has not set it.",
            "/run/systemd/timesync/synchronized",
            _REMEDY,
        )
    else:
        yield _ABOUT.ok(f"It is {text(now)}" + (", set from the network." if vouched else "."))
