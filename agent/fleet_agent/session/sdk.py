"""Refuses an AWS IoT SDK that the agent cannot use: distributions mix and patch its parts."""

import types

from fleet_agent.errors import DeviceError

REMEDY = "Install the versions that are tested: pip install -r requirements/device.txt, or the Debian package"

# awscrt before 0.19.14 has MQTT 5 by all its other names, and fails with a TypeError at the first answer.
OLDEST_HAS = "TopicAliasingOptions"


def require(mqtt5: types.ModuleType) -> None:
    """Refuse an SDK whose MQTT 5 is too old to carry an answer.

    Raises:
        DeviceError: It is.
    """
    if not hasattr(mqtt5, OLDEST_HAS):
        raise _unfit(f"{mqtt5.__name__} is too old: it has no {OLDEST_HAS}")


def misfit(error: ImportError | AttributeError) -> DeviceError | None:
    """The error to report when it is the SDK that lacks something, such as an awsiotsdk newer than its awscrt."""
    lacking = getattr(error, "obj", None)
    module = lacking.__name__ if isinstance(lacking, types.ModuleType) else error.name
    if (module or "").partition(".")[0] not in {"awscrt", "awsiot", "_awscrt"}:
        return None
    return _unfit(str(error))


def _unfit(reason: str) -> DeviceError:
    return DeviceError(
        f"The AWS IoT SDK here does not fit the agent: {reason.rstrip('.')}.",
        remedy=REMEDY,
        code="sdk-incomplete",
    )
