"""The SDK: whether it has what a session uses. Never by its version: distributions mix and patch them."""

import importlib
from collections.abc import Iterator

from fleet_agent.doctor.finding import Findings, Subject

_ABOUT = Subject("SDK")

# module → what session.mqtt and provisioning.identity cannot do without
NEEDED = {
    "awscrt.io": (
        "ClientBootstrap",
        "ClientTlsContext",
        "DefaultHostResolver",
        "EventLoopGroup",
        "SocketOptions",
        "TlsContextOptions",
    ),
    "awscrt.http": ("HttpProxyOptions",),
    "awscrt.mqtt5": (
        "Client",
        "ClientOperationQueueBehaviorType",
        "ClientOptions",
        "ClientSessionBehaviorType",
        "ConnectPacket",
        "DisconnectPacket",
        "ExponentialBackoffJitterMode",
        "ExtendedValidationAndFlowControlOptions",
        "PublishPacket",
        "QoS",
        "SubscribePacket",
        "Subscription",
        "UserProperty",
    ),
    "awsiot.iotidentity": (
        "IotIdentityClient",
        "CreateCertificateFromCsrRequest",
        "RegisterThingRequest",
    ),
}
# what is used where it is there → what is lost without it
OPTIONAL = {
    "TopicAliasingOptions": "topics are sent in full each time",
    "PublishAcknowledgementControlHandle": "a message counts as received before its handler has it",
}
_REMEDY = "Install the versions that are tested: pip install -r requirements/device.txt, or the Debian package"


def check() -> Findings:
    """Look at the SDK."""
    missing = list(_missing())
    for name in missing:
        yield _ABOUT.failed(
            "sdk-incomplete", f"{name} is missing in the AWS IoT SDK here.", name, _REMEDY
        )
    if not missing:
        yield _ABOUT.ok(f"It has all that a session needs ({_version('awscrt')}).")
        yield from _optional()


def is_there() -> bool:
    """Whether nothing is missing."""
    return not any(_missing())


def _missing() -> Iterator[str]:
    for module, names in NEEDED.items():
        try:
            loaded = importlib.import_module(module)
        except Exception:  # noqa: BLE001 - a broken installation raises what it likes
            yield module
            continue
        yield from (f"{module}.{name}" for name in names if not hasattr(loaded, name))


def _optional() -> Findings:
    mqtt5 = importlib.import_module("awscrt.mqtt5")
    for name, loss in OPTIONAL.items():
        if not hasattr(mqtt5, name):
            yield _ABOUT.note("sdk-old", f"awscrt has no {name}: {loss}.", f"awscrt.mqtt5.{name}")


def _version(module: str) -> str:
    return (
        f"{module} {getattr(importlib.import_module(module), '__version__', 'of unknown version')}"
    )
