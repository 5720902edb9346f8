"""Each call of the provisioning API, and what AWS may do instead of answering it."""

import json
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from typing import Any, cast

import pytest
from awscrt import mqtt, mqtt5

from fleet_agent.credentials.model import KeyPair, Secret
from fleet_agent.errors import NotAllowedError, TemporaryError, UnreachableError
from fleet_agent.provisioning.aws import ANSWER_LIMIT, ProvisioningClient
from fleet_agent.provisioning.model import Operation, RejectedError
from fleet_agent.session.route import Route
from support.clock import FakeClock
from support.provisioning import make_plan
from support.sessions import Quiet, Timely

PAIR = KeyPair(
    certificate="c", private_key=Secret("k"), certificate_file="c.pem", private_key_file="k.pem"
)
CSR, KEYS = "$aws/certificates/create-from-csr/json", "$aws/certificates/create/json"
REGISTER = "$aws/provisioning-templates/fleet/provision/json"
ISSUED = {"certificateId": "ab12", "certificatePem": "a PEM", "certificateOwnershipToken": "owner"}


class PubackError(Exception):
    name = "AWS_ERROR_MQTT_ACK_REASON_CODE_FAILURE"


class Sdk(mqtt5.Client):  # type: ignore[misc]
    """What the SDK's client of the service publishes with."""

    def __init__(self, publish: Callable[..., Any]) -> None:
        self.given = publish

    def new_connection(self) -> object:
        connection = cast("Any", mqtt.Connection).__new__(Connection)
        connection.given = self.given
        return connection


class Connection(mqtt.Connection):  # type: ignore[misc]
    given: Callable[..., Any]

    def publish(self, topic: str, payload: str, qos: object, **_: object) -> Any:
        return self.given(topic, payload, qos), 1


class Bench:
    """A client whose requests the test answers."""

    def __init__(self, method: str = "csr", client_id: str | None = None) -> None:
        self.clock = FakeClock()
        self.box = Timely(self.clock)
        self.requests: list[tuple[str, dict[str, Any], object]] = []
        self.puback: BaseException | None = None
        self.answer: Callable[[str], None] = lambda _topic: None
        self.session = Quiet(self.box)
        self.session.client = Sdk(self.publish)
        self.made: tuple[Any, ...] = ()
        self.options: dict[str, Any] = {}
        route = Route(host="a.example", port=8883, ca_file=None, proxy=None)
        self.client = ProvisioningClient(
            route, PAIR, make_plan(method), self.box, self.clock,
            client_id=client_id, make_session=self.make,
        )  # fmt: skip

    def make(self, *given: Any, **options: Any) -> Quiet:
        self.made, self.options = given, options
        return self.session

    def publish(self, topic: str, payload: str, qos: object) -> "Future[Any]":
        self.requests.append((topic, json.loads(payload), qos))
        future: Future[Any] = Future()
        if self.puback:
            future.set_exception(self.puback)
        else:
            future.set_result({})
        self.answer(topic)
        return future

    def accepts(self, answer: Mapping[str, object], tail: str = "accepted") -> None:
        self.answer = lambda topic: self.session.say(
            f"{topic}/{tail}", json.dumps(answer).encode()
        )

    def begin(self) -> ProvisioningClient:
        self.client.start()
        names = [name for name, _ in self.options["filters"]]
        self.session.suback(dict.fromkeys(names, 0))
        self.client.wait_open()
        return self.client


def test_a_claim_asks_for_the_replies_of_its_two_calls_and_nothing_to_acknowledge() -> None:
    bench = Bench()
    replies = [f"{topic}/{end}" for topic in (CSR, REGISTER) for end in ("accepted", "rejected")]
    assert bench.options["filters"] == [(name, 0) for name in replies]
    assert bench.options["is_thing"] is False
    assert bench.options["upkeep"].flow_control is False
    route, pair, client_id, mailbox = bench.made
    assert route.host == "a.example"
    assert (pair, mailbox) == (PAIR, bench.box)
    assert client_id.removeprefix("claim-").isalnum()
    assert len(client_id) == len("claim-") + 24
    assert Bench().made[2] != client_id
    assert not bench.client.is_open
    assert bench.begin().is_open
    assert bench.session.sets_nodelay is True
    bench.client.close()
    assert bench.session.is_closed
    assert bench.client.is_open is False


def test_a_device_of_its_own_credential_keeps_its_session() -> None:
    bench = Bench("keys", client_id="pump-7")
    assert bench.options["is_thing"] is True
    assert bench.made[2] == "pump-7"
    assert bench.options["filters"][0][0] == f"{KEYS}/accepted"


def test_a_certificate_for_a_csr() -> None:
    bench = Bench()
    bench.accepts(ISSUED)
    found = bench.begin().create_certificate("a CSR")
    assert bench.requests == [
        (CSR, {"certificateSigningRequest": "a CSR"}, mqtt.QoS.AT_LEAST_ONCE)
    ]
    assert (found.certificate_id, found.pem, found.private_key) == ("ab12", "a PEM", None)
    assert found.ownership_token.reveal() == "owner"


def test_a_certificate_with_its_key() -> None:
    bench = Bench("keys")
    bench.accepts({**ISSUED, "privateKey": "a key"})
    found = bench.begin().create_certificate(None)
    assert bench.requests == [(KEYS, {}, mqtt.QoS.AT_LEAST_ONCE)]
    assert found.private_key is not None
    assert found.private_key.reveal() == "a key"


def test_a_registration() -> None:
    bench = Bench()
    bench.accepts({"thingName": "pump-7", "deviceConfiguration": {"a": "1"}})
    found = bench.begin().register_thing(Secret("owner"), {"SerialNumber": "7"})
    assert found == ("pump-7", {"a": "1"})
    asked = {"certificateOwnershipToken": "owner", "parameters": {"SerialNumber": "7"}}
    assert bench.requests == [(REGISTER, asked, mqtt.QoS.AT_LEAST_ONCE)]


@pytest.mark.parametrize("operation", Operation)
def test_an_answer_that_is_none_names_its_call(operation: Operation) -> None:
    bench = Bench("keys" if operation is Operation.CREATE_KEYS else "csr")
    bench.answer = lambda topic: bench.session.say(f"{topic}/accepted", b"[]")
    bench.begin()
    with pytest.raises(UnreachableError, match=f"answer to {operation.value} "):
        ask(bench, operation)


@pytest.mark.parametrize("operation", Operation)
def test_a_refusal_names_its_call(operation: Operation) -> None:
    bench = Bench("keys" if operation is Operation.CREATE_KEYS else "csr")
    bench.accepts({"statusCode": 403, "errorCode": "Denied", "errorMessage": "no"}, "rejected")
    bench.begin()
    with pytest.raises(RejectedError) as caught:
        ask(bench, operation)
    refused = caught.value
    assert (refused.operation, refused.status_code) == (operation, 403)
    assert (refused.error_code, refused.message) == ("Denied", "no")


def ask(bench: Bench, operation: Operation) -> object:
    if operation is Operation.REGISTER:
        return bench.client.register_thing(Secret("owner"), {})
    return bench.client.create_certificate(
        "a CSR" if operation is Operation.CREATE_FROM_CSR else None
    )


def test_no_answer_within_its_limit_says_which_statement_may_be_missing() -> None:
    for client_id, who in ((None, "claim"), ("pump-7", "thing")):
        bench = Bench(client_id=client_id)
        bench.begin()
        began = bench.clock.monotonic()
        with pytest.raises(UnreachableError, match=f"{CSR[1:]} within 20 s") as caught:
            bench.client.create_certificate("a CSR")
        assert bench.clock.monotonic() - began == ANSWER_LIMIT
        assert caught.value.code == "answer-missing"
        assert f"{who}'s policy allow iot:Receive on topic/{CSR}/*" in caught.value.remedy


def test_a_request_that_the_broker_does_not_take_names_the_statement() -> None:
    bench = Bench()
    bench.begin()
    bench.puback = PubackError()
    with pytest.raises(NotAllowedError) as caught:
        bench.client.create_certificate("a CSR")
    assert f"claim's policy does not allow iot:Publish on topic/{CSR}." in caught.value.title
    assert "arn:aws:iot:eu-central-1" in caught.value.remedy
    assert "template's name" not in caught.value.remedy
    with pytest.raises(NotAllowedError, match="provision/json") as caught:
        bench.client.register_thing(Secret("owner"), {})
    assert caught.value.remedy.startswith("Add to that policy: {")
    assert "template's name, fleet, wrong?" in caught.value.remedy


def test_a_request_that_is_not_acknowledged_is_tried_again() -> None:
    bench = Bench()
    bench.begin()
    bench.puback = TimeoutError()
    with pytest.raises(UnreachableError, match=f"{CSR[1:]} was not .*TimeoutError") as caught:
        bench.client.create_certificate("a CSR")
    assert caught.value.code == "connection-lost"


@pytest.mark.parametrize(("code", "is_refusal"), [(135, True), (142, False), (None, False)])
def test_a_connection_that_ends_instead_of_an_answer(code: int | None, is_refusal: bool) -> None:
    bench = Bench()
    bench.begin()
    bench.answer = lambda _topic: bench.session.end(code)
    with pytest.raises(NotAllowedError if is_refusal else UnreachableError) as caught:
        bench.client.create_certificate("a CSR")
    if is_refusal:
        assert f"iot:Publish on topic/{CSR}" in caught.value.title
    else:
        assert "claim's connection ended before" in caught.value.title
        assert caught.value.code == "connection-lost"


def code_of_all(code: int) -> Callable[[Bench], None]:
    def answer(bench: Bench) -> None:
        names = [name for name, _ in bench.options["filters"]]
        bench.session.suback({**dict.fromkeys(names, 0), names[2]: code})

    return answer


@pytest.mark.parametrize(
    ("happens", "kind", "code", "words"),
    [
        (code_of_all(135), NotAllowedError, "not-allowed", f"iot:Subscribe on topicfilter/{REGISTER}/*"),
        (code_of_all(151), TemporaryError, "server-busy", "reply topics: SUBACK 151"),
        (lambda bench: bench.session.suback({"x": 0}, "NO: no"), UnreachableError, "subscribe-failed", "NO: no"),
        (lambda _: None, UnreachableError, "answer-missing", "not acknowledge"),
        # Not a refusal of something that was published.
        (lambda bench: bench.session.end(135), UnreachableError, "connection-lost", "ended before"),
    ],
)  # fmt: skip
def test_reply_topics_that_are_not_granted(
    happens: Callable[[Bench], None], kind: type[Exception], code: str, words: str
) -> None:
    bench = Bench()
    bench.client.start()
    happens(bench)
    with pytest.raises(kind) as caught:
        bench.client.wait_open()
    error = cast("UnreachableError", caught.value)
    assert error.code == code
    assert words in error.title
    if kind is NotAllowedError:
        assert error.remedy.startswith("Add to that policy: {")
    assert not bench.client.is_open
