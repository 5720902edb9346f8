"""Refuses an AWS IoT SDK, or another package, that the agent cannot use: distributions mix and patch their parts."""

import os
import types

from fleet_agent.errors import DeviceError

REMEDY = (
    "Install the tested versions: pip install -r requirements/device.txt, or the Debian package"
)

# awscrt before 0.19.14 has MQTT 5 by all its other names, and fails with a TypeError at the first answer.
OLDEST_HAS = "TopicAliasingOptions"


def require(mqtt5: types.ModuleType) -> None:
    """Refuses an SDK whose MQTT 5 is too old to carry an answer, and a place where the SDK would abort the process.

    Raises:
        DeviceError: It is; or there is no /dev/urandom, as in a chroot that nothing is mounted in.
    """
    if not os.access("/dev/urandom", os.R_OK):
        raise DeviceError(
            "The AWS IoT SDK needs /dev/urandom, which cannot be read here.",
            remedy="In a chroot, mount it: mount --bind /dev ROOT/dev",
            code="no-random-numbers",
        )
    if not hasattr(mqtt5, OLDEST_HAS):
        raise _unfit(f"{mqtt5.__name__} is too old: it has no {OLDEST_HAS}")


def misfit(error: ImportError | AttributeError) -> DeviceError | None:
    """What to report when a package lacks something, such as awsiotsdk newer than its awscrt; None: it is ours."""
    lacking = getattr(error, "obj", None)
    module = lacking.__name__ if isinstance(lacking, types.ModuleType) else error.name
    package = (module or "").partition(".")[0]
    if package in {"awscrt", "awsiot", "_awscrt"}:
        return _unfit(str(error))
    if package in {"yaml", "cryptography", "_cffi_backend"}:
        return DeviceError(
            f"A Python package that the agent needs cannot be loaded: {str(error).rstrip('.')}.",
            remedy=REMEDY,
            code="package-missing",
        )
    return None


def _unfit(reason: str) -> DeviceError:
    return DeviceError(
        f"The installed AWS IoT SDK does not work with the agent: {reason.rstrip('.')}.",
        remedy=REMEDY,
        code="sdk-incomplete",
    )
