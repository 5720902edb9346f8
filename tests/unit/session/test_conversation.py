"""A short session that asks and hears answers: what counts as one, and how long it is waited for."""

import socket
from collections.abc import Callable
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import pytest

from fleet_agent.clock import text
from fleet_agent.credentials.model import KeyPair, Secret
from fleet_agent.errors import NotAllowedError, UnreachableError
from fleet_agent.session.conversation import (
    ACKNOWLEDGE_LIMIT,
    CONNECT_LIMIT,
    DIAGNOSE_AFTER,
    END_LIMIT,
    KEPT_MESSAGES,
    Conversation,
    Ended,
    Unsent,
)
from fleet_agent.session.events import CallbackFailed, Connected, ConnectFailed, Message
from fleet_agent.session.message import Outgoing, Upkeep
from fleet_agent.session.route import Route
from support.certificates import YESTERDAY, loaded, make_pair
from support.clock import FakeClock
from support.sessions import Answer, Quiet, Timely
from support.tls import tls_server

READING = Outgoing(topic="dt/pump", payload=b"1")


class Bench:
    def __init__(self, *answers: Answer) -> None:
        self.clock = FakeClock()
        self.box = Timely(self.clock)
        self.session = Quiet(self.box)
        self.session.answers.extend(answers)
        self.other = Quiet(self.box, "another")
        self.talk = Conversation(self.session, self.box, self.clock)

    def took(self, act: Callable[[], object]) -> tuple[object, float]:
        began = self.clock.monotonic()
        return act(), self.clock.monotonic() - began

    def request(self, error: BaseException | None = None) -> Callable[[], "Future[Any]"]:
        def ask() -> "Future[Any]":
            future: Future[Any] = Future()
            if error is None:
                future.set_result(None)
            else:
                future.set_exception(error)
            return future

        return ask


@pytest.fixture
def bench() -> Bench:
    return Bench()


# Connecting -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("sets_nodelay", [True, False])
def test_it_waits_until_the_connection_stands(bench: Bench, sets_nodelay: bool) -> None:
    bench.other.start()  # somebody else's is none
    bench.talk.start(sets_nodelay=sets_nodelay)
    assert bench.session.sets_nodelay is sets_nodelay
    _, seconds = bench.took(bench.talk.connect)
    assert seconds == 0
    assert bench.talk.ended is None
    bench.talk.close()
    assert bench.session.is_closed


class Watched(Conversation):
    """Notes when somebody looks."""

    def __init__(self, bench: "Bench") -> None:
        super().__init__(bench.session, bench.box, bench.clock)
        self.looked: list[float] = []

    def _look(self) -> None:
        self.looked.append(self._clock.monotonic())


@pytest.fixture
def deaf(bench: Bench) -> Bench:
    """Nobody listens where its session leads."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
    bench.session.route = Route(host="127.0.0.1", port=port, ca_file=None, proxy=None)
    bench.session.pair = KeyPair(
        certificate="c", private_key=Secret("k"), certificate_file="c", private_key_file="k"
    )
    bench.session.is_thing = True
    bench.session.upkeep = Upkeep()
    bench.session.first = None
    return bench


@pytest.mark.parametrize("limit", [CONNECT_LIMIT, 2.0])
def test_silence_is_looked_into_once_and_ends(deaf: Bench, limit: float) -> None:
    talk = Watched(deaf)
    talk.start()
    began = deaf.clock.monotonic()
    with pytest.raises(UnreachableError):
        talk.connect(limit)
    assert talk.looked == [began + min(DIAGNOSE_AFTER, limit)]
    assert deaf.clock.monotonic() == began + limit


def test_what_is_found_ends_it_at_once(deaf: Bench) -> None:
    deaf.talk.start()
    began = deaf.clock.monotonic()
    with pytest.raises(UnreachableError, match=r"127\.0\.0\.1"):
        deaf.talk.connect()
    assert deaf.clock.monotonic() == began + DIAGNOSE_AFTER


def test_a_failed_connect_is_explained_by_what_was_said(deaf: Bench) -> None:
    failure = ConnectFailed(session=deaf.session, reason_code=135, error="no")
    deaf.session.first = lambda: deaf.box.put(failure)
    deaf.talk.start()
    began = deaf.clock.monotonic()
    with pytest.raises(NotAllowedError, match="iot:Connect on client/pump"):
        deaf.talk.connect()
    assert deaf.clock.monotonic() == began


@pytest.mark.parametrize("looks", [True, False])
def test_a_server_whose_certificate_is_out_of_date_may_be_our_clocks_doing(
    deaf: Bench, tmp_path: Path, looks: bool
) -> None:
    server = make_pair(tmp_path / "server", valid_to=YESTERDAY, name="localhost")
    # Found in the middle of the wait, or when it is over.
    talk = deaf.talk if looks else Watched(deaf)
    talk.start()
    began = deaf.clock.wall()
    with tls_server(server) as port:
        ca_file = str(server.certificate)
        deaf.session.route = Route(host="localhost", port=port, ca_file=ca_file, proxy=None)
        deaf.session.pair = loaded(server)
        with pytest.raises(UnreachableError, match="looks expired: this device's clock") as caught:
            talk.connect(7.0)
    waited = DIAGNOSE_AFTER if looks else 7.0
    assert deaf.clock.wall() == began + waited
    assert text(began + waited) in caught.value.title


# Subscriptions --------------------------------------------------------------------------------------------------------


def test_it_waits_for_every_filter(bench: Bench) -> None:
    bench.session.suback({"a": 0, "b": 135})
    bench.other.suback({"c": 0})
    bench.session.suback({"c": 1})
    found, seconds = bench.took(lambda: bench.talk.granted(["a", "c"]))
    assert found == {"a": 0, "b": 135, "c": 1}
    assert seconds == 0
    assert bench.took(lambda: bench.talk.granted(["a", "d"])) == (None, ACKNOWLEDGE_LIMIT)
    assert bench.took(lambda: bench.talk.granted(["d"], 3.0)) == (None, 3.0)


def test_a_subscription_that_failed_or_ended(bench: Bench) -> None:
    bench.session.suback({"a": 0}, "NO: no")
    found = bench.talk.granted(["a"])
    assert isinstance(found, Unsent)
    assert (found.error, str(found), found.request) == ("NO: no", "NO: no", ["a"])
    assert "request" not in repr(found)
    bench.session.suback({"a": 0})
    bench.session.end(142)
    bench.talk.wait(0.0)
    assert bench.talk.granted(["a"]) == {"a": 0}
    found = bench.talk.granted(["b"])
    assert found == Ended(reason_code=142, error="GONE: gone")
    assert "142" in str(found)


# Publishing -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("code", [0, 16, 135])
def test_the_pubacks_code_is_the_answer(code: int) -> None:
    bench = Bench(code)
    assert bench.took(lambda: bench.talk.publish(READING)) == (code, 0)
    assert bench.session.asked == [READING]


@pytest.mark.parametrize("tag", [object(), None])
def test_anothers_puback_is_none(bench: Bench, tag: object) -> None:
    bench.session.answers.append(
        lambda: bench.box.put(bench.session.published(tag, reason_code=0))
    )
    assert bench.took(lambda: bench.talk.publish(READING)) == (None, ACKNOWLEDGE_LIMIT)


def test_a_failed_one_waits_a_moment_for_the_end_that_explains_it() -> None:
    bench = Bench("CUT: cut")
    found, seconds = bench.took(lambda: bench.talk.publish(READING))
    assert found == Unsent(request=READING, error="CUT: cut")
    assert seconds == END_LIMIT
    bench = Bench()
    bench.session.answers.append(bench.session.cut)
    assert bench.talk.publish(READING) == Ended(reason_code=135, error="GONE: gone")


def test_a_callback_that_failed_is_as_if_the_connection_had(bench: Bench) -> None:
    failed = CallbackFailed(session=bench.session, name="on_publish", error=ValueError("odd"))
    bench.session.answers.append(lambda: bench.box.put(failed))
    assert bench.talk.publish(READING) == Ended(reason_code=None, error="odd")
    bench.session.end(142)
    bench.talk.wait(0.0)
    assert str(bench.talk.ended) == "odd"  # the first is the cause


# Asking ---------------------------------------------------------------------------------------------------------------


def test_an_answer_is_a_message_on_one_of_its_topics(bench: Bench) -> None:
    bench.other.say("a/accepted")
    bench.session.say("b/other")
    bench.session.say("a/accepted", b"yes")
    found, seconds = bench.took(lambda: bench.talk.ask(bench.request(), ("a/accepted",), 7.0))
    assert isinstance(found, Message)
    assert (found.topic, found.payload, seconds) == ("a/accepted", b"yes", 0)
    # Only what was not asked for goes on to whoever takes the session over.
    assert bench.talk.release() is bench.session
    left = bench.box.wait(bench.clock.monotonic())
    assert isinstance(left, Message)
    assert left.topic == "b/other"
    assert bench.box.wait(bench.clock.monotonic()) is None


def test_no_answer_and_a_connection_that_ends(bench: Bench) -> None:
    ask = lambda: bench.talk.ask(bench.request(), ("a",), 7.0)  # noqa: E731
    assert bench.took(ask) == (None, 7.0)
    bench.session.end()
    found, seconds = bench.took(ask)
    assert (found, seconds) == (Ended(reason_code=None, error="GONE: gone"), 0)
    assert str(found) == "GONE: gone"


class SdkError(Exception):
    name = "AWS_ERROR_X"


@pytest.mark.parametrize(
    ("error", "name"), [(SdkError(), "AWS_ERROR_X"), (KeyError("x"), "KeyError")]
)
def test_a_request_that_does_not_go_out_or_is_not_acknowledged(
    bench: Bench, error: Exception, name: str
) -> None:
    earlier = bench.request(error)
    request = bench.request()
    bench.box.put(Unsent(request=earlier, error="not this one"))
    bench.session.say("a")
    assert isinstance(bench.talk.ask(request, ("a",), 7.0), Message)
    assert bench.talk.ask(earlier, ("a",), 7.0) == Unsent(request=earlier, error=name)

    def refuses() -> "Future[Any]":
        raise error

    assert bench.talk.ask(refuses, ("a",), 7.0) == Unsent(request=refuses, error=name)


# What comes meanwhile -------------------------------------------------------------------------------------------------


def test_messages_below_a_topic(bench: Bench) -> None:
    bench.session.say("a/b")
    bench.talk.wait(0.0)
    assert bench.talk.receives_below("a", 5.0)
    assert bench.took(lambda: bench.talk.receives_below("a/b", 5.0)) == (False, 5.0)
    bench.session.say("c/d/e")
    assert bench.took(lambda: bench.talk.receives_below("c", 5.0)) == (True, 0)
    bench.session.end()
    assert bench.took(lambda: bench.talk.receives_below("x", 5.0)) == (False, 0)
    # AWS sends again what came on a connection that ended.
    assert not bench.talk.receives_below("c", 0.0)


def test_time_passes_and_nothing_is_lost_within_bounds(bench: Bench) -> None:
    bench.talk.start()
    for number in range(KEPT_MESSAGES + 3):
        bench.session.say(f"a/{number}")
    _, seconds = bench.took(lambda: bench.talk.wait(9.0))
    assert seconds == 9.0
    bench.talk.release()
    kept = list(iter(lambda: bench.box.wait(0.0), None))
    assert isinstance(kept[0], Connected)
    topics = [event.topic for event in kept if isinstance(event, Message)]
    assert topics == [f"a/{number}" for number in range(KEPT_MESSAGES)]


def test_what_ended_is_not_handed_on_as_standing(bench: Bench) -> None:
    bench.talk.start()
    bench.talk.connect()
    bench.session.end()
    bench.talk.wait(0.0)
    bench.talk.release()
    assert bench.box.wait(0.0) is None
