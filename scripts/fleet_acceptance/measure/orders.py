"""Direct messages and AWS IoT Commands, as a device meets them."""

import time
from collections.abc import Callable

from botocore.exceptions import ClientError

from fleet_acceptance.account import tags
from fleet_acceptance.device.mqtt import Message, Session
from fleet_acceptance.errors import NotMeasuredError
from fleet_acceptance.measure.bench import Bench
from fleet_acceptance.measure.sessions import make_device, opened

_SERIAL = "orders"
_SECONDS = 60
_LATE_SECONDS = 10.0
_TIMED_OUT = "TIMED_OUT"
_DIRECT = ("unsubscribed", "qos", "mark", "not-allowed", "not-connected")
_COMMANDS = ("qos", "expiry", "qos-0", "conflict", "size", "after-end", "late")


def measure(bench: Bench) -> None:
    """Measures all of it, with one thing."""
    thing = bench.thing(_SERIAL)
    device, _ = make_device(bench, _SERIAL)
    with (
        bench.run.measuring(*(f"direct-{fact}" for fact in _DIRECT)),
        opened(bench, device, thing) as session,
    ):
        _direct(bench, session, thing)
    with (
        bench.run.measuring(*(f"commands-{fact}" for fact in _COMMANDS)),
        opened(bench, device, thing) as session,
    ):
        Commands(bench, session, thing).measure()


def _direct(bench: Bench, session: Session, thing: str) -> None:
    run, data = bench.run, bench.run.cloud.client("iot-data")
    topic = f"bench/{thing}/direct"

    def send(client_id: str, topic: str, *, confirmation: bool) -> str:
        try:
            data.send_direct_message(
                clientId=client_id, topic=topic, payload=b"{}", confirmation=confirmation
            )
        except ClientError as error:
            said.append(str(error))
            return str(error.response["ResponseMetadata"]["HTTPStatusCode"])
        return "sent"

    said: list[str] = []
    send(thing, topic, confirmation=True)
    confirmed = session.next()
    send(thing, topic, confirmation=False)
    plain = session.next()
    run.record("direct-unsubscribed", "delivered" if confirmed else "not delivered")
    if confirmed and plain:
        run.record("direct-qos", f"{confirmed.qos} and {plain.qos}")
        run.record("direct-mark", ", ".join(confirmed.properties) or "nothing")
    refused = send(thing, f"bench/{run.id}-other/direct", confirmation=True)
    run.record("direct-not-allowed", refused, said=said[-1:])
    absent = send(f"{run.id}-nobody", topic, confirmation=False)
    run.record("direct-not-connected", absent, said=said[-1:])


class Commands:
    """Starts commands and answers them."""

    def __init__(self, bench: Bench, session: Session, thing: str) -> None:
        self._bench, self._session = bench, session
        self._target = bench.run.cloud.arn(f"thing/{thing}")
        self._root = f"$aws/commands/things/{thing}/executions"
        self._command = f"{bench.run.id}-bench"

    def measure(self) -> None:
        """Measures all of it."""
        run, iot = self._bench.run, self._bench.iot
        iot.create_command(
            commandId=self._command,
            namespace="AWS-IoT",
            payload={"content": b'{"operation": "nothing"}', "contentType": "application/json"},
            tags=tags.mine(run.id),
        )
        kinds = ("request/json", "response/accepted/json", "response/rejected/json")
        self._session.subscribe(*(f"{self._root}/+/{kind}" for kind in kinds))
        began = time.monotonic()
        execution, request = self._start()
        run.record("commands-qos", str(request.qos))
        left = request.expiry
        is_left = (
            left is not None and _SECONDS - (time.monotonic() - began) - 2 <= left <= _SECONDS
        )
        run.record("commands-expiry", "the seconds left" if is_left else str(left), expiry=left)
        run.record("commands-size", self._answer(execution, "IN_PROGRESS", said="x" * 60_000))
        run.record("commands-qos-0", self._answer(execution, "SUCCEEDED", qos=0))
        run.record("commands-after-end", self._answer(execution, "FAILED"))
        self._conflict()
        self._late()

    def _start(self, seconds: int = _SECONDS) -> tuple[str, Message]:
        """Starts one; gives its id and the request as it came."""
        jobs = self._bench.run.cloud.client("iot-jobs-data")
        made = jobs.start_command_execution(
            targetArn=self._target,
            commandArn=self._bench.run.cloud.arn(f"command/{self._command}"),
            executionTimeoutSeconds=seconds,
        )
        execution = str(made["executionId"])
        found = self._receive(lambda topic: f"/{execution}/request" in topic)
        if found is None:
            raise NotMeasuredError("the command did not come")
        return execution, found

    def _answer(self, execution: str, status: str, *, qos: int = 1, said: str = "") -> str:
        """Answers it; gives what the answer met."""
        result = {"result": {"said": {"s": said}}} if said else {}
        request = {"status": status, **result}
        self._session.publish(f"{self._root}/{execution}/response/json", request, qos=qos)
        return self._outcome(execution)

    def _outcome(self, execution: str) -> str:
        found = self._receive(lambda topic: f"/{execution}/response/" in topic)
        if found is None:
            return "no answer"
        return "accepted" if "/accepted/" in found.topic else str(found.document.get("error"))

    def _receive(self, is_it: Callable[[str], bool]) -> Message | None:
        while message := self._session.next():
            if is_it(message.topic):
                return message
        return None

    def _conflict(self) -> None:
        """Answers twice at once; a slow machine may be too slow for that, so that it is tried three times."""
        outcomes: list[str] = []
        for _ in range(3):
            execution, _ = self._start()
            topic = f"{self._root}/{execution}/response/json"
            requests = [{"status": "IN_PROGRESS"}, {"status": "SUCCEEDED"}]
            for sent in [self._session.publish_later(topic, request) for request in requests]:
                sent.result(20.0)
            outcomes = sorted(self._outcome(execution) for _ in requests)
            if outcomes != ["accepted", "accepted"]:
                break
        words = next((outcome for outcome in outcomes if outcome != "accepted"), "accepted")
        self._bench.run.record("commands-conflict", words, outcomes=outcomes)

    def _late(self) -> None:
        """Answers one that has timed out."""
        execution, _ = self._start(seconds=1)
        until = time.monotonic() + _LATE_SECONDS
        while (before := self._status(execution)) != _TIMED_OUT and time.monotonic() < until:
            time.sleep(0.2)
        outcome = self._answer(execution, "SUCCEEDED")
        after = self._status(execution)
        words = after if before == _TIMED_OUT else f"not timed out: {before}"
        self._bench.run.record("commands-late", words, before=before, outcome=outcome)

    def _status(self, execution: str) -> str:
        found = self._bench.iot.get_command_execution(
            executionId=execution, targetArn=self._target
        )
        return str(found["status"])
