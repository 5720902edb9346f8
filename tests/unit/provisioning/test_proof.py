"""What proves a new credential, what does not, and how long a policy may take to arrive."""

import pytest

from fleet_agent.credentials.model import Credential, KeyPair, Secret
from fleet_agent.errors import AgentError, NotAllowedError, TemporaryError, UnreachableError
from fleet_agent.provisioning.proof import (
    PUBACK_LIMIT,
    TOPIC_LIMIT,
    TOPIC_POLL,
    Proof,
    ProofMessage,
    Proven,
    Trial,
)
from fleet_agent.session.message import Outgoing
from support.clock import FakeClock
from support.identity import CREDENTIAL
from support.sessions import Answer, Quiet, Timely

PAIR = KeyPair(
    certificate="c", private_key=Secret("k"), certificate_file="c.pem", private_key_file="k.pem"
)
PUBLISHES = Trial(
    messages=[
        ProofMessage(topic="dt/{unknown}", payload=lambda: b"never made"),
        ProofMessage(
            topic="dt/{thing}/{Serial}/{source}",
            source="system",
            payload=lambda: b"real",
            retain=True,
        ),
        ProofMessage(topic="dt/other", payload=lambda: b"one is enough"),
    ]
)


class Bench:
    def __init__(self, trial: Trial, *answers: Answer) -> None:
        self.clock = FakeClock()
        self.box = Timely(self.clock)
        self.session = Quiet(self.box)
        self.session.answers.extend(answers)
        self.waits: list[tuple[AgentError, float]] = []
        self.opened_with: tuple[Credential, KeyPair] | None = None
        self.proof = Proof(self.open, self.box, self.clock, trial, {"Serial": "7"}.get)

    def open(self, credential: Credential, pair: KeyPair) -> Quiet:
        self.opened_with = credential, pair
        return self.session

    def prove(self) -> Proven:
        return self.proof.prove(CREDENTIAL, PAIR, lambda *wait: self.waits.append(wait))

    def fails(self, kind: type[AgentError]) -> AgentError:
        with pytest.raises(kind) as caught:
            self.prove()
        assert self.session.is_closed
        return caught.value


@pytest.mark.parametrize("code", [0, 16])
def test_a_reading_that_is_acknowledged_proves_it(code: int) -> None:
    bench = Bench(PUBLISHES, code)
    proven = bench.prove()
    assert bench.opened_with == (CREDENTIAL, PAIR)
    assert bench.session.sets_nodelay is True
    assert proven == Proven(session=bench.session, how="a session as pump-7")
    assert not bench.session.is_closed
    assert bench.session.asked == [
        Outgoing(topic="dt/pump-7/7/system", payload=b"real", retain=True)
    ]
    # Who takes the session over hears that it stands.
    assert type(bench.box.wait(0.0)).__name__ == "Connected"


def test_a_topic_that_stays_refused_is_reported_beside_the_proof() -> None:
    bench = Bench(PUBLISHES, *[135] * 100)
    began = bench.clock.monotonic()
    proven = bench.prove()
    passed = bench.clock.monotonic() - began
    assert TOPIC_LIMIT - TOPIC_POLL < passed <= TOPIC_LIMIT
    assert proven.how == "a session as pump-7, its telemetry topic refused"
    assert proven.refused is not None
    assert (
        "thing's policy does not allow iot:Publish on topic/dt/pump-7/7/system."
        in proven.refused.title
    )
    assert "arn:aws:iot:eu-central-1" in proven.refused.remedy
    assert [seconds for _, seconds in bench.waits] == [TOPIC_POLL] * int(TOPIC_LIMIT / TOPIC_POLL)
    assert {error for error, _ in bench.waits} == {proven.refused}


def test_a_policy_that_arrives_late_is_enough() -> None:
    bench = Bench(PUBLISHES, 135, 135, 0)
    assert bench.prove().refused is None
    assert len(bench.waits) == 2


def test_a_busy_server_says_nothing_about_the_credential() -> None:
    error = Bench(PUBLISHES, 151).fails(TemporaryError)
    assert error.code == "server-busy"
    assert "dt/pump-7/7/system: " in error.title
    assert "PUBACK 151" in error.title


@pytest.mark.parametrize(
    ("trial", "code", "kind"),
    [(PUBLISHES, 135, NotAllowedError), (PUBLISHES, 142, UnreachableError),
     (PUBLISHES, None, UnreachableError), (Trial(), 135, UnreachableError)],
)  # fmt: skip
def test_a_connection_that_ends_proves_nothing(
    trial: Trial, code: int | None, kind: type[AgentError]
) -> None:
    bench = Bench(trial)
    bench.session.answers.append(lambda: bench.session.end(code, "AWS_X: gone"))
    error = bench.fails(kind)
    if kind is UnreachableError:
        assert error.code == "connection-lost"
        assert (f"DISCONNECT {code}" if code else "AWS_X: gone") in error.title


@pytest.mark.parametrize(
    ("trial", "limit"), [(PUBLISHES, PUBACK_LIMIT), (Trial(), 10.0)], ids=["PUBACK", "SUBACK"]
)
def test_silence_proves_nothing(trial: Trial, limit: float) -> None:
    bench = Bench(trial, None)
    began = bench.clock.monotonic()
    assert "no answer in time" in bench.fails(UnreachableError).title
    assert bench.clock.monotonic() - began == limit


@pytest.mark.parametrize(
    ("subscription", "asked"),
    [
        (None, "$aws/things/pump-7/shadow/get/accepted"),
        ("cmd/{thing}/{Serial}", "cmd/pump-7/7"),
        ("cmd/{unknown}", "$aws/things/pump-7/shadow/get/accepted"),
    ],
)
@pytest.mark.parametrize("code", [1, 135])
def test_where_nothing_is_published_any_word_to_a_subscription_will_do(
    subscription: str | None, asked: str, code: int
) -> None:
    bench = Bench(Trial(subscription=subscription), code)
    proven = bench.prove()
    assert bench.session.asked == [((asked, 1),)]
    assert proven.how == "a session as pump-7, which does not publish anything yet"
    assert proven.refused is None
