"""A connection that did not come about, in words that say whose turn it is."""

import dataclasses
import ssl
import threading
from pathlib import Path

import pytest

from fleet_agent.credentials.model import HardwareKey, HardwareToken, KeyPair, Secret
from fleet_agent.errors import (
    CERTIFICATE_REFUSED,
    CONNECT_CLOSED,
    CONNECT_UNANSWERED,
    AgentError,
    NotAllowedError,
    RefusedError,
    TemporaryError,
    UnreachableError,
)
from fleet_agent.session import diagnosis, reasons
from fleet_agent.session.events import Cause, ConnectFailed
from fleet_agent.session.message import Outgoing, Upkeep
from fleet_agent.session.reasons import Packet
from fleet_agent.session.route import Route
from support.certificates import loaded, make_pair
from support.clock import FakeClock
from support.sessions import Quiet, Timely
from support.tls import free_port, refusing_server


@pytest.fixture
def session() -> Quiet:
    made = Quiet(Timely(FakeClock()))
    made.route = Route(
        host="a1b2c3.iot.eu-central-1.amazonaws.com", port=8883, ca_file=None, proxy=None
    )
    made.pair = KeyPair(
        certificate="c", private_key=Secret("k"), certificate_file="c.pem", private_key_file="k"
    )
    made.is_thing = True
    made.upkeep = Upkeep()
    return made


def explain(
    session: Quiet, code: int | None = None, error: str = "", words: str = ""
) -> AgentError:
    failure = ConnectFailed(session=session, reason_code=code, error=error, reason_string=words)
    return diagnosis.explain(session, failure, 1.8e9)


def failed(session: Quiet, cause: Cause) -> ConnectFailed:
    """No CONNACK, and what awscrt says."""
    return ConnectFailed(session=session, reason_code=None, error="X: x", cause=cause)


def test_a_device_that_may_not_connect_gets_its_statement(session: Quiet) -> None:
    error = explain(session, 135)
    assert isinstance(error, NotAllowedError)
    assert "thing's policy does not allow iot:Connect on client/pump." in error.title
    assert "arn:aws:iot:eu-central-1" in error.remedy
    assert "last will" not in error.remedy
    # Where its thing was deleted the statement would be the wrong cure.
    statement, _, attached = error.remedy.partition(" Policy variables")
    assert attached.endswith("aws iot list-principal-things --principal CERTIFICATE-ARN")
    session.upkeep = Upkeep(will=Outgoing(topic="presence/pump", payload=b"down"))
    remedy = explain(session, 135).remedy
    assert remedy.startswith(f"{statement} The last will on presence/pump needs iot:Publish")
    assert remedy.endswith(attached)


def test_a_claim_that_may_not_connect_gets_a_statement_for_all_its_ids(session: Quiet) -> None:
    session.is_thing = False
    error = explain(session, 135)
    assert isinstance(error, NotAllowedError)
    assert "claim's policy does not allow iot:Connect on client/claim-*." in error.title
    assert "arn:aws:iot:eu-central-1" in error.remedy


@pytest.mark.parametrize(
    ("code", "kind", "slug"),
    [(137, TemporaryError, "server-busy"), (151, TemporaryError, "server-busy"),
     (133, RefusedError, "connect-refused"), (-1, TemporaryError, "server-busy"),
     (144, RefusedError, "connect-refused")],
)  # fmt: skip
def test_a_refusal_has_the_servers_own_words(
    session: Quiet, code: int, kind: type[AgentError], slug: str
) -> None:
    error = explain(session, code, words="wait\n" + "x" * 500)
    assert type(error) is kind
    assert error.code == slug
    found = reasons.reason(Packet.CONNACK, code)
    assert f": {reasons.words(Packet.CONNACK, code)} (wait" in error.title
    assert error.title.endswith(f"; {found.cause}.")
    assert error.remedy == found.remedy
    assert "\n" not in error.title
    assert "x" * 190 in error.title
    assert "x" * 200 not in error.title
    assert "(wait" not in explain(session, code).title
    if kind is RefusedError:
        assert "'pump' with c.pem" in error.title


@pytest.mark.parametrize(
    ("cause", "kind", "slug", "words"),
    [
        (Cause.HANG_UP, RefusedError, CONNECT_UNANSWERED, "closes the connection on the certificate in c"),
        (Cause.NO_MQTT_5, UnreachableError, "mqtt-5-missing", "does not speak MQTT 5: X: x."),
        (Cause.SLOW_TLS, UnreachableError, "endpoint-silent", "handshake: X: x."),
        (Cause.CLOSED, UnreachableError, CONNECT_CLOSED, "No MQTT connection"),
        (Cause.BROKEN_TLS, UnreachableError, "connect-failed", "X: x."),
        (Cause.LATE, UnreachableError, "connect-failed", "X: x."),
        (Cause.OTHER, UnreachableError, "connect-failed", "X: x."),
        (None, UnreachableError, "connect-failed", "no answer in time"),
    ],
)  # fmt: skip
def test_where_nothing_is_found_awscrts_words_say_it(
    session: Quiet, cause: Cause | None, kind: type[AgentError], slug: str, words: str
) -> None:
    found = diagnosis.by_awscrt(session, cause and failed(session, cause))
    assert type(found) is kind
    assert found.code == slug
    assert words in found.title
    assert f"{session.route.host}:8883" in found.title


@pytest.mark.parametrize("cause", [Cause.CLOSED, Cause.BROKEN_TLS])
def test_a_key_in_a_token_cannot_be_shown_by_us_so_that_an_end_is_the_refusal(
    session: Quiet, cause: Cause
) -> None:
    token = HardwareToken(module="/m.so", label="t", pin_file="/pin", state_dir="/state")
    key = HardwareKey(token=token, label="device", is_ours=True)
    failure = failed(session, cause)
    assert diagnosis.by_awscrt(session, failure).code != CONNECT_UNANSWERED
    session.pair = dataclasses.replace(session.pair, private_key=key)
    assert diagnosis.by_awscrt(session, failure).code == CONNECT_UNANSWERED
    other = failed(session, Cause.OTHER)
    assert diagnosis.by_awscrt(session, other).code == "connect-failed"


def test_where_no_look_can_be_had_awscrts_words_say_it(
    session: Quiet, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(threading.Thread, "start", no_thread)
    found = explain(session, error="AWS_ERROR_OTHER: x")
    assert "No MQTT connection to a1b2c3" in found.title
    assert "AWS_ERROR_OTHER: x" in found.title


def no_thread(_: threading.Thread) -> None:
    raise RuntimeError("can't start new thread")


def test_a_certificate_that_the_server_refuses_is_named(session: Quiet, tmp_path: Path) -> None:
    server = make_pair(tmp_path / "server", name="localhost")
    session.pair = loaded(make_pair(tmp_path / "device"))
    with refusing_server(server, ssl.TLSVersion.TLSv1_2, "alert") as port:
        ca_file = str(server.certificate)
        session.route = Route(host="localhost", port=port, ca_file=ca_file, proxy=None)
        found = explain(session, error="AWS_IO_TLS_ERROR_NEGOTIATION_FAILURE: x")
    assert found.code == CERTIFICATE_REFUSED
    assert session.pair.certificate_file in found.title


def test_what_is_found_on_the_way_says_more_than_awscrt(session: Quiet) -> None:
    session.route = Route(host="localhost", port=free_port(), ca_file=None, proxy=None)
    assert (
        explain(session, error="AWS_ERROR_MQTT_UNEXPECTED_HANGUP").code == "endpoint-unreachable"
    )
