"""The SDK: whether it has what a session uses. Never by its version: distributions mix and patch them."""

import importlib
from collections.abc import Iterator

from fleet_agent.doctor.finding import Findings, Subject
from fleet_agent.session.sdk import REMEDY

_ABOUT = Subject("SDK")

# module → what session.mqtt and provisioning.aws cannot do without
NEEDED = {
    "awscrt.http": (
        "HttpProxyAuthenticationType",
        "HttpProxyConnectionType",
        "HttpProxyOptions",
    ),
    "awscrt.io": (
        "ClientBootstrap",
        "ClientTlsContext",
        "DefaultHostResolver",
        "EventLoopGroup",
        "SocketOptions",
        "TlsContextOptions",
        "TlsVersion",
    ),
    "awscrt.mqtt": ("QoS",),
    "awscrt.mqtt5": (
        "Client",
        "ClientOperationQueueBehaviorType",
        "ClientOptions",
        "ClientSessionBehaviorType",
        "ConnectPacket",
        "DisconnectPacket",
        "ExponentialBackoffJitterMode",
        "ExtendedValidationAndFlowControlOptions",
        "OutboundTopicAliasBehaviorType",
        "PublishPacket",
        "QoS",
        "RetainAndHandlingType",
        "SubscribePacket",
        "Subscription",
        "TopicAliasingOptions",
        "UnsubscribePacket",
        "UserProperty",
    ),
    "awsiot.iotidentity": (
        "CreateCertificateFromCsrRequest",
        "CreateCertificateFromCsrResponse",
        "CreateKeysAndCertificateRequest",
        "CreateKeysAndCertificateResponse",
        "ErrorResponse",
        "IotIdentityClient",
        "RegisterThingRequest",
        "RegisterThingResponse",
    ),
}
# used if the SDK has it → what is lost without it
OPTIONAL = {
    "awscrt.io.Pkcs11Lib": "keys in a PKCS#11 token cannot be used",
    "awscrt.mqtt5.PublishAcknowledgementControlHandle": "a message is acknowledged to AWS before its handler has it",
}


def check() -> Findings:
    """Checks the SDK."""
    missing = list(_missing())
    for name in missing:
        yield _ABOUT.failed(
            "sdk-incomplete", f"The AWS IoT SDK installed here lacks {name}.", name, REMEDY
        )
    if not missing:
        yield _ABOUT.ok(f"It has everything that a session needs ({_version('awscrt')}).")
        yield from _optional()


def is_there() -> bool:
    """Whether nothing is missing."""
    return not any(_missing())


def _missing() -> Iterator[str]:
    for module, names in NEEDED.items():
        try:
            loaded = importlib.import_module(module)
        except Exception:  # noqa: BLE001 - a broken installation raises anything
            yield module
            continue
        yield from (f"{module}.{name}" for name in names if not hasattr(loaded, name))


def _optional() -> Findings:
    for name, loss in OPTIONAL.items():
        module, _, attribute = name.rpartition(".")
        if not hasattr(importlib.import_module(module), attribute):
            yield _ABOUT.note("sdk-old", f"The SDK has no {name}: {loss}.", name)


def _version(module: str) -> str:
    return (
        f"{module} {getattr(importlib.import_module(module), '__version__', 'of unknown version')}"
    )
