"""MQTT sessions as a device has them: what policies refuse, what the service limits, which endpoints there are."""

import contextlib
import time
from concurrent.futures import TimeoutError as FutureTimeoutError
from typing import Any

from botocore.exceptions import ClientError

from fleet_acceptance.account.cloud import code_of
from fleet_acceptance.device.mqtt import Identity, RefusedError, Session
from fleet_acceptance.measure.bench import Bench

_REFUSED = 128
_END_SECONDS = 5.0
_DAY = 86_400


def measure(bench: Bench) -> None:
    """Measures all of it."""
    device, certificate_id = make_device(bench, "session")
    thing = bench.thing("session")
    refusals(bench, device, thing)
    limits(bench, device, thing)
    endpoints(bench)
    inactive(bench, device, certificate_id, thing)


def make_device(bench: Bench, serial: str) -> tuple[Identity, str]:
    """Makes a thing with a certificate that may use its own topics, jobs and commands."""
    thing = bench.thing(serial)
    own = (f"bench/{thing}/*", f"$aws/things/{thing}/*", f"$aws/commands/things/{thing}/*")
    policy = bench.policy(
        f"bench-{serial}",
        ("Connect", f"client/{thing}"),
        *((action, f"topic/{topic}") for action in ("Publish", "Receive") for topic in own),
        *(("Subscribe", f"topicfilter/{topic}") for topic in own),
    )
    bench.iot.create_thing(thingName=thing)
    identity, certificate_id = bench.identity(serial, policy)
    bench.iot.attach_thing_principal(
        thingName=thing, principal=bench.run.cloud.arn(f"cert/{certificate_id}")
    )
    return identity, certificate_id


def opened(bench: Bench, device: Identity, thing: str, **options: Any) -> Session:  # noqa: ANN401
    """Gives a session of a device, as soon as its policy is known everywhere; to be opened."""
    bench.until_it_connects(device, thing)
    return Session(bench.run.server, device, thing, **options)


def refusals(bench: Bench, device: Identity, thing: str) -> None:
    """What a policy does not allow."""
    run = bench.run
    topic = f"bench/{run.id}-other/x"
    with run.measuring("connect-refused", "client-id-taken"):
        with opened(bench, device, thing) as older, Session(run.server, device, thing):
            run.record("client-id-taken", ended(older))
        run.record("connect-refused", connecting(bench, device, f"{run.id}-other"))
    with (
        run.measuring("publish-refused", "subscribe-refused"),
        Session(run.server, device, thing) as session,
    ):
        run.record("publish-refused", f"PUBACK {session.publish(topic, {})}")
        run.record("subscribe-refused", f"SUBACK {session.subscribe(topic)[0]}")
    with run.measuring("publish-refused-qos-0"), Session(run.server, device, thing) as session:
        session.publish(topic, {}, qos=0)
        run.record("publish-refused-qos-0", ended(session))
    with run.measuring("command-filters"), Session(run.server, device, thing) as session:
        # The connection may end in place of a SUBACK: what awscrt raises then is the answer, too.
        codes: list[int] = []
        with contextlib.suppress(Exception):
            codes = session.subscribe(f"$aws/commands/things/{thing}/executions/+/request/+")
        end = ended(session)
        run.record(
            "command-filters", "not held" if end == "stays" else "held", suback=codes, end=end
        )


def limits(bench: Bench, device: Identity, thing: str) -> None:
    """What the CONNACK says, and filters."""
    run = bench.run
    asked = {"keep_alive_interval_sec": 65535, "session_expiry_interval_sec": _DAY}
    names = ("packet-size", "topic-aliases", "receive-maximum", "keep-alive", "session-expiry")
    with (
        run.measuring(*names, "topic-limits", "unsuback"),
        Session(run.server, device, thing, **asked) as session,
    ):
        connack = session.connack
        found = {
            "packet-size": (connack.maximum_packet_size, 149_504),
            "topic-aliases": (connack.topic_alias_maximum, 8),
            "receive-maximum": (connack.receive_maximum, 100),
            "keep-alive": (connack.server_keep_alive_sec, 1200),
            "session-expiry": (connack.session_expiry_interval_sec, 3600),
        }
        for name, (is_said, wanted) in found.items():
            run.record(name, "held" if is_said == wanted else "not held", said=is_said)
        codes = session.unsubscribe(f"bench/{thing}/never")
        run.record("unsuback", "held" if codes == [0] else "not held", codes=codes)
        nine = [f"bench/{thing}/{number}" for number in range(9)]
        answers: list[int] = []
        with contextlib.suppress(Exception):
            answers = session.subscribe(*nine)
        is_refused = not answers or min(answers) >= _REFUSED
        run.record("topic-limits", "held" if is_refused else "not held", suback=answers)


def endpoints(bench: Bench) -> None:
    """Which endpoints there are."""
    run = bench.run
    for fact, given in (("endpoint-legacy", {}), ("endpoint-jobs", {"endpointType": "iot:Jobs"})):
        with run.measuring(fact):
            try:
                found = bench.iot.describe_endpoint(**given)
            except ClientError as error:
                run.record(fact, "refused", code=code_of(error), said=str(error))
            else:
                run.record(fact, "an endpoint", endpoint=found["endpointAddress"])


def inactive(bench: Bench, device: Identity, certificate_id: str, thing: str) -> None:
    """A certificate that is switched off: what becomes of its session, and of the next connect."""
    run = bench.run
    with run.measuring("connect-inactive", "session-inactive"):
        began = time.monotonic()
        with Session(run.server, device, thing) as session:
            bench.iot.update_certificate(certificateId=certificate_id, newStatus="INACTIVE")
            how = ended(session, run.patience)
            words = "stays" if how == "stays" else "ended"
            run.record("session-inactive", words, how=how, seconds=time.monotonic() - began)
        while (found := connecting(bench, device, thing)) == "connected":
            if time.monotonic() - began > run.patience:
                break
            time.sleep(2)
        run.record("connect-inactive", found, seconds=round(time.monotonic() - began, 1))


def connecting(bench: Bench, device: Identity, client_id: str) -> str:
    """Gives how a connect ends."""
    try:
        with Session(bench.run.server, device, client_id):
            return "connected"
    except RefusedError as error:
        return error.answer


def ended(session: Session, seconds: float = _END_SECONDS) -> str:
    """Gives how a connection ended, or that it stands."""
    try:
        return session.ended.result(seconds)
    except FutureTimeoutError:
        return "stays"
