"""Imports the AWS IoT SDK's awscrt when it is first needed: ``sdk.mqtt5`` and its other modules.

An SDK that the agent cannot use is refused, as is another package: distributions mix and patch their parts.
"""

import importlib
import types
from typing import TYPE_CHECKING

from fleet_agent.errors import DeviceError
from fleet_agent.session import entropy

if TYPE_CHECKING:
    from awscrt import http, io, mqtt5

__all__ = ["http", "io", "misfit", "mqtt5", "require"]

_MODULES = ("http", "io", "mqtt5")

REMEDY = (
    "Install the tested versions: pip install -r requirements/device.txt, or the Debian package"
)

# awscrt before 0.19.14 has MQTT 5 by all its other names, and fails with a TypeError at the first answer.
OLDEST_HAS = "TopicAliasingOptions"


def __getattr__(name: str) -> types.ModuleType:
    """Imports one of awscrt's modules; after that it is an attribute like others.

    Raises:
        ImportError: It is not installed, or lacks a part.
    """
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    entropy.finish()
    module = importlib.import_module(f"awscrt.{name}")
    globals()[name] = module
    return module


def require(mqtt5: types.ModuleType) -> None:
    """Refuses an SDK whose MQTT 5 is too old to carry an answer, and a place where the SDK would abort the process.

    Raises:
        DeviceError: It is; or there is no /dev/urandom, as in a chroot that nothing is mounted in.
    """
    if not entropy.has_random_numbers():
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
