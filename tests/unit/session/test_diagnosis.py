"""A connection that did not come about, in words that say whose turn it is."""

from typing import cast

import pytest

from fleet_agent.credentials.model import KeyPair, Secret
from fleet_agent.errors import (
    CONNECT_CLOSED,
    CONNECT_UNANSWERED,
    AgentError,
    NotAllowedError,
    RefusedError,
    TemporaryError,
    UnreachableError,
)
from fleet_agent.session import diagnosis
from fleet_agent.session.events import ConnectFailed
from fleet_agent.session.message import Outgoing, Upkeep
from fleet_agent.session.route import Route
from support.clock import FakeClock
from support.sessions import Quiet, Timely
from support.tls import free_port


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


def test_a_device_that_may_not_connect_gets_its_statement(session: Quiet) -> None:
    error = explain(session, 135)
    assert isinstance(error, NotAllowedError)
    assert "thing's policy does not allow iot:Connect on client/pump." in error.title
    assert "arn:aws:iot:eu-central-1" in error.remedy
    assert "last will" not in error.remedy
    session.upkeep = Upkeep(will=Outgoing(topic="presence/pump", payload=b"down"))
    assert "last will on presence/pump needs iot:Publish" in explain(session, 135).remedy


def test_a_claim_that_may_not_connect_gets_a_statement_for_all_its_ids(session: Quiet) -> None:
    session.is_thing = False
    error = explain(session, 135)
    assert isinstance(error, NotAllowedError)
    assert "claim's policy does not allow iot:Connect on client/claim-*." in error.title
    assert "arn:aws:iot:eu-central-1" in error.remedy


@pytest.mark.parametrize(
    ("code", "kind", "slug"),
    [(137, TemporaryError, "server-busy"), (151, TemporaryError, "server-busy"),
     (133, RefusedError, "connect-refused"), (-1, TemporaryError, "server-busy")],
)  # fmt: skip
def test_a_refusal_has_the_servers_own_words(
    session: Quiet, code: int, kind: type[AgentError], slug: str
) -> None:
    error = explain(session, code, words="wait\n" + "x" * 500)
    assert type(error) is kind
    assert error.code == slug
    assert " (wait" in error.title
    assert "\n" not in error.title
    assert "x" * 190 in error.title
    assert "x" * 200 not in error.title
    assert error.remedy
    assert "None" not in error.remedy
    assert "(wait" not in explain(session, code).title
    if kind is RefusedError:
        assert "'pump' with c.pem" in error.title


@pytest.mark.parametrize(
    ("error", "kind", "slug", "words"),
    [
        ("AWS_ERROR_MQTT_UNEXPECTED_HANGUP: x", RefusedError, CONNECT_UNANSWERED, "hangs up on the certificate in c"),
        ("AWS_ERROR_MQTT5_DECODE_PROTOCOL_ERROR: x", UnreachableError, "mqtt-5-missing", "does not speak MQTT 5: AWS"),
        ("AWS_IO_TLS_NEGOTIATION_TIMEOUT: x", UnreachableError, "endpoint-silent", "handshake: AWS"),
        ("AWS_IO_SOCKET_CLOSED: x", UnreachableError, CONNECT_CLOSED, "No MQTT connection"),
        ("AWS_ERROR_OTHER: x", UnreachableError, "connect-failed", "AWS_ERROR_OTHER"),
        (None, UnreachableError, "connect-failed", "no answer in time"),
    ],
)  # fmt: skip
def test_where_nothing_is_found_awscrts_words_say_it(
    session: Quiet, error: str | None, kind: type[AgentError], slug: str, words: str
) -> None:
    failure = error and ConnectFailed(session=session, reason_code=None, error=error)
    found = diagnosis.by_awscrt(session, cast("ConnectFailed | None", failure))
    assert type(found) is kind
    assert found.code == slug
    assert words in found.title
    assert f"{session.route.host}:8883" in found.title


def test_what_is_found_on_the_way_says_more_than_awscrt(session: Quiet) -> None:
    session.route = Route(host="localhost", port=free_port(), ca_file=None, proxy=None)
    assert (
        explain(session, error="AWS_ERROR_MQTT_UNEXPECTED_HANGUP").code == "endpoint-unreachable"
    )
