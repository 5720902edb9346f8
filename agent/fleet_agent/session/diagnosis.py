"""Explains why a session did not open: by probing the way, by awscrt's error, by the CONNACK's code.

Nothing here runs while all is well.
"""

from fleet_agent.credentials.model import HardwareKey
from fleet_agent.errors import (
    CONNECT_CLOSED,
    CONNECT_REFUSED,
    AgentError,
    NotAllowedError,
    RefusedError,
    TemporaryError,
    UnreachableError,
)
from fleet_agent.printable import printable
from fleet_agent.process import starved
from fleet_agent.session import probe, reasons
from fleet_agent.session.events import Cause, ConnectFailed
from fleet_agent.session.mqtt import Session
from fleet_agent.session.reasons import Kind, Packet

# A device that could connect until now: its thing was deleted, or its certificate moved to another.
_ATTACHED = (
    " Policy variables such as ${iot:Connection.Thing.ThingName} have a value only while the certificate "
    "is attached to the thing: aws iot list-principal-things --principal CERTIFICATE-ARN"
)


def look(session: Session, now: float) -> AgentError | None:
    """Probes for what keeps a session from opening while awscrt is silent; None: nothing was found.

    Takes ``probe.LIMIT`` seconds at most.

    Args:
        session: The one that does not open.
        now: Unix seconds, to distinguish a wrong certificate from a wrong clock.
    """
    return probe.first_failure(session.route, session.pair, now)


def explain(session: Session, failure: ConnectFailed | None, now: float) -> AgentError:
    """Explains why the session did not open.

    Args:
        session: The one that failed.
        failure: What awscrt said; None when nothing came in time.
        now: Unix seconds.
    """
    if failure is not None and failure.reason_code is not None:
        return _refused(session, failure.reason_code, failure.reason_string)
    return look(session, now) or by_awscrt(session, failure)


def by_awscrt(session: Session, failure: ConnectFailed | None) -> AgentError:
    """Explains it by awscrt's error, where probing found nothing."""
    reason, cause = "no answer in time", Cause.LATE
    if failure is not None:
        reason, cause = failure.error, failure.cause
    if (lack := starved.lack_in(reason)) is not None:
        return lack
    # What a handshake of our own cannot show with a key in a hardware token.
    is_unseen = isinstance(session.pair.private_key, HardwareKey)
    if cause is Cause.HANG_UP or (is_unseen and cause in {Cause.CLOSED, Cause.BROKEN_TLS}):
        return probe.hung_up(session.route, session.pair)
    if cause is Cause.NO_MQTT_5:
        return UnreachableError(
            f"{_where(session)} does not speak MQTT 5: {reason}.",
            remedy="An MQTT 3.1.1 broker answers there. Compare `endpoint` with: aws iot describe-endpoint "
            "--endpoint-type iot:Data-ATS",
            code="mqtt-5-missing",
        )
    if cause is Cause.SLOW_TLS:
        return UnreachableError(
            f"{_where(session)} accepts connections, but does not complete the TLS and MQTT handshake: {reason}.",
            remedy="A captive portal or a proxy in between may interfere, or the network is very slow.",
            code="endpoint-silent",
        )
    return UnreachableError(
        f"No MQTT connection to {_where(session)}: {reason}.",
        remedy="Check that firewalls allow the port, and the proxy if there is one.",
        code=CONNECT_CLOSED if cause is Cause.CLOSED else "connect-failed",
    )


def _where(session: Session) -> str:
    return f"{session.route.host}:{session.route.port}"


def _refused(session: Session, code: int, own_words: str) -> AgentError:
    found = reasons.reason(Packet.CONNACK, code)
    words = reasons.words(Packet.CONNACK, code)
    if own_words:
        words = f"{words} ({printable(own_words, 200)})"
    host = session.route.host
    if found.kind is Kind.POLICY and session.is_thing:
        error = NotAllowedError(
            "thing", "iot:Connect", f"client/{session.client_id}", endpoint=host
        )
        if session.upkeep.will is not None:
            error.remedy += (
                f" The last will on {session.upkeep.will.topic} needs iot:Publish, and iot:RetainPublish if it is "
                "retained (connection.presence)."
            )
        error.remedy += _ATTACHED
        return error
    if found.kind is Kind.POLICY:  # a claim's client id is another one each time
        return NotAllowedError(
            "claim", "iot:Connect", "client/claim-*", endpoint=host, is_pattern=True
        )
    if found.kind is Kind.BUSY:
        return TemporaryError(
            f"For now, AWS IoT refuses connections: {words}; {found.cause}.",
            remedy=found.remedy,
            code="server-busy",
        )
    return RefusedError(
        f"AWS IoT refuses the connection of {session.client_id!r} with {session.pair.certificate_file}: {words}; "
        f"{found.cause}.",
        remedy=found.remedy,
        code=CONNECT_REFUSED,
    )
