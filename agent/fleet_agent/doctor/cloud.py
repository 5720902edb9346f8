"""What the broker answers: CONNACK, and a SUBACK or PUBACK for each topic that the claim and the device need.

Nothing is made: the two requests of provisioning that are published carry an empty object, which AWS IoT rejects (no
CSR, no ownership token). CreateKeysAndCertificate would make a certificate of whatever it gets, so it is never
published to. The device's own topics get a message with ``"doctor": true``.
"""

import dataclasses
import os
from collections.abc import Callable, Iterator, Sequence

from fleet_agent import pasted
from fleet_agent.config.settings import Settings
from fleet_agent.config.topics import sources
from fleet_agent.credentials.model import Credential, KeyPair
from fleet_agent.doctor import arn as arns
from fleet_agent.doctor.device import Device
from fleet_agent.doctor.finding import Finding, Findings, Level, Subject
from fleet_agent.errors import NOT_ALLOWED, AgentError, NotAllowedError, TemporaryError
from fleet_agent.identity import own_session
from fleet_agent.mailbox import Mailbox
from fleet_agent.orders import filters as order_filters
from fleet_agent.pasted import Arn
from fleet_agent.record import record
from fleet_agent.session.conversation import Conversation, Ended, Unsent
from fleet_agent.session.message import Outgoing, Upkeep
from fleet_agent.session.mqtt import Session
from fleet_agent.session.reasons import NOT_AUTHORIZED, PUBLISHED
from fleet_agent.session.route import Route
from fleet_agent.statedir.lock import take_lock
from fleet_agent.telemetry.reading import timed
from fleet_agent.topics.names import Topics

_CREATE_KEYS = "$aws/certificates/create/json"
_CREATE_FROM_CSR = "$aws/certificates/create-from-csr/json"
_ANSWER_LIMIT = 6.0  # seconds to an answer of the provisioning API
_REFUSED = 128  # reason codes from here on are errors
_THING = "${iot:Connection.Thing.ThingName}"


@record
class _Policy:
    """Whose policy it is, and how its statements are written.

    ``name`` stands in topics and is a variable in the policy; ``level``: what a refusal counts for.
    """

    about: Subject
    who: str
    arn: Arn
    level: Level = Level.FAILED
    name: str | None = None

    def lacks(
        self, action: str, resource: str, words: str, *, is_pattern: bool = False
    ) -> Finding:
        """The finding that a statement is missing; ``is_pattern``: a wildcard in the resource is ours."""
        is_fit = is_pattern or not pasted.is_wild(resource)
        general = resource.replace(self.name, _THING) if self.name else resource
        return Finding(
            check=self.about.check,
            level=self.level,
            code=NOT_ALLOWED,
            title=f"{words}: the {self.who}'s policy does not allow {action}.",
            where=resource.partition("/")[2],
            remedy=f"Add this statement to that policy{arns.missing(self.arn)}:"
            if is_fit
            else pasted.WILD,
            statement=self.arn.statement(action, general) if is_fit else None,
        )


# The claim -----------------------------------------------------------------------------------------------------------


def check_claim(device: Device, route: Route, pair: KeyPair, arn: Arn) -> Findings:
    """Connects as the claim, and tries what provisioning needs."""
    about = Subject("as the claim")
    wanted = device.settings.provisioning if device.settings else None
    if wanted is None:
        yield about.note(
            "no-provisioning", "The claim has no use without a section `provisioning`."
        )
        return
    policy = _Policy(about=about, who="claim", arn=arn)
    # as in provisioning: a client id of its own, so that it throws no other client out
    client_id = f"claim-{os.urandom(12).hex()}"
    filters = [(name, 0) for name in _replies(wanted.template, wanted.method)]
    talk = _conversation(device, route, pair, client_id, filters, is_thing=False)
    yield from _connected(
        talk, filters, policy, lambda: _provisioning(talk, policy, wanted.template, wanted.method)
    )


def _conversation(
    device: Device,
    route: Route,
    pair: KeyPair,
    client_id: str,
    filters: Sequence[tuple[str, int]],
    *,
    is_thing: bool,
) -> Conversation:
    """One under this credential. A device's own keeps what AWS has queued: nothing that comes is acknowledged."""
    mailbox = Mailbox(device.clock)
    mailbox.stop_on_signals()
    session = Session(
        route,
        pair,
        client_id,
        mailbox,
        filters=filters,
        is_thing=is_thing,
        upkeep=Upkeep(flow_control=False),
    )
    return Conversation(session, mailbox, device.clock)


def _operations(template: str, method: str) -> tuple[str, str]:
    create = _CREATE_KEYS if method == "keys" else _CREATE_FROM_CSR
    return create, f"$aws/provisioning-templates/{template}/provision/json"


def _replies(template: str, method: str) -> list[str]:
    topics = _operations(template, method)
    return [f"{topic}/{reply}" for topic in topics for reply in ("accepted", "rejected")]


def _provisioning(talk: Conversation, policy: _Policy, template: str, method: str) -> Findings:
    for topic in _operations(template, method):
        replies = [f"{topic}/{reply}" for reply in ("accepted", "rejected")]
        found = list(_granted(talk, policy, replies, f"{topic}/*"))
        yield from found
        if talk.ended:
            return
        if topic == _CREATE_KEYS:
            yield _not_tried(policy, topic)
            continue
        found += _published(talk, policy, Outgoing(topic=topic, payload=b"{}"))
        yield found[-1]
        if talk.ended:
            return
        if all(finding.level is Level.OK for finding in found) and not talk.hears_below(
            topic, _ANSWER_LIMIT
        ):
            resource = f"topic/{topic}/*"
            yield policy.lacks("iot:Receive", resource, "No answer came", is_pattern=True)


def _not_tried(policy: _Policy, topic: str) -> Finding:
    note = policy.about.note(
        "publish-not-tried",
        "Publishing is not tried: it would make a certificate.",
        topic,
        f"See for yourself that the policy has this{arns.missing(policy.arn)}:",
    )
    return dataclasses.replace(
        note, statement=policy.arn.statement("iot:Publish", f"topic/{topic}")
    )


# The device ----------------------------------------------------------------------------------------------------------


def check_device(device: Device, route: Route, arn: Arn) -> Findings:
    """Connects as the device, unless its agent does, and tries each topic of the configuration."""
    about = Subject("as the device")
    credential = device.credential()
    if credential is None or device.settings is None:
        yield about.note("not-provisioned", "There is no identity to connect with yet.")
        return
    try:
        lock = take_lock(device.state_dir)  # no agent begins meanwhile
    except TemporaryError:
        yield about.note(
            "device-in-use",
            f"The agent runs as {credential.client_id}: a second connection would throw it out.",
            credential.client_id,
            "See its own connection: fleet-agent status; or stop it first: systemctl stop fleet-agent.socket "
            "fleet-agent",
        )
        return
    try:
        yield from _as_device(device, device.settings, credential, route, arn)
    finally:
        os.close(lock.descriptor)


def _as_device(
    device: Device, settings: Settings, credential: Credential, route: Route, arn: Arn
) -> Findings:
    about = Subject("as the device")
    pair = device.store().key_pair(credential.generation)
    if device.pin_is_elsewhere(pair.private_key):
        yield about.note(
            "key-elsewhere",
            "The unit passes the PIN of its key: not tried from a shell.",
            pair.private_key_file,
        )
        return
    policy = _Policy(about=about, who="device", arn=arn, name=credential.thing_name)
    topics = own_session.topics(settings, credential)
    filters = _filters(settings, credential, topics)
    rotation = _rotation(settings)
    asked = [*filters, *((name, 0) for name in (_replies(*rotation) if rotation else ()))]
    talk = _conversation(device, route, pair, credential.client_id, asked, is_thing=True)

    def everything() -> Findings:
        for name, _ in filters:
            yield from _granted(talk, policy, [name], name)
        for message in _messages(device, credential, topics):
            if not talk.ended:
                yield from _published(talk, policy, message)
        if rotation is None:
            yield policy.about.note(
                "rotation-not-tried",
                "Whether it may rotate was not tried: nothing asks for that before its certificate expires.",
                remedy="When `rotation` is to: fleet-cloud up --rotation adds what the policy needs",
            )
        elif not talk.ended:
            warning = dataclasses.replace(
                policy, level=Level.WARNING, about=Subject("as the device, to rotate")
            )
            yield from _provisioning(talk, warning, *rotation)

    yield from _connected(talk, asked, policy, everything)


def _rotation(settings: Settings) -> tuple[str, str] | None:
    """The template and the method, where the configuration has the device rotate with its own credential."""
    wanted, rotation = settings.provisioning, settings.rotation
    is_asked_for = (
        rotation.max_age is not None or rotation.jobs or rotation.order_topic is not None
    )
    if wanted is None or rotation.credential != "own" or not is_asked_for:
        return None
    return wanted.template, wanted.method


def _filters(settings: Settings, credential: Credential, topics: Topics) -> list[tuple[str, int]]:
    moving = settings.move.order_topic
    moves = order_filters.Moves(
        takes_jobs=settings.move.jobs, topic=moving and topics.fill(moving)
    )
    order_topic = settings.rotation.order_topic and topics.fill(settings.rotation.order_topic)
    ordering = order_filters.wanted(settings, credential.client_id, order_topic, moves)
    return [
        *(
            (topics.fill(subscription.topic), subscription.qos)
            for subscription in settings.subscriptions
        ),
        *ordering,
    ]


def _messages(device: Device, credential: Credential, topics: Topics) -> Iterator[Outgoing]:
    settings = device.settings
    if settings is None:
        return
    payload = timed(device.clock.wall(), {"doctor": True})
    readings = (
        topics.fill(source.topic or settings.telemetry.topic, source.name)
        for source in sources(settings)
    )
    for topic in dict.fromkeys(readings):
        yield Outgoing(topic=topic, payload=payload)
    if presence := settings.connection.presence:  # no agent runs: it is what stands there already
        yield Outgoing(
            topic=topics.fill(presence.topic),
            payload=presence.offline.encode(),
            retain=presence.retain,
        )
    if settings.rotation.jobs or settings.move.jobs or settings.jobs.enabled:
        # Looks only; what asks for the next job starts it.
        yield Outgoing(topic=f"$aws/things/{credential.client_id}/jobs/$next/get", payload=b"{}")


# Both ----------------------------------------------------------------------------------------------------------------


def _connected(
    talk: Conversation,
    filters: Sequence[tuple[str, int]],
    policy: _Policy,
    ask: Callable[[], Findings],
) -> Findings:
    try:
        talk.start()
        try:
            talk.connect()
        except NotAllowedError:
            resource = f"client/{policy.name}" if policy.name else "client/claim-*"
            is_pattern = policy.name is None
            yield policy.lacks("iot:Connect", resource, "CONNACK 135", is_pattern=is_pattern)
            return
        except AgentError as error:
            yield from policy.about.error(error)
            return
        yield policy.about.ok("CONNACK 0: it may connect.")
        talk.granted([name for name, _ in filters])
        yield from ask()
        if talk.ended:
            yield policy.about.failed(
                "connection-lost",
                f"AWS IoT ended the connection: {talk.ended}.",
                "",
                "Topics after this one were not tried; correct it and ask again",
            )
    finally:
        talk.close()


def _granted(
    talk: Conversation, policy: _Policy, filters: Sequence[str], general: str
) -> Findings:
    """Judges the SUBACK of filters that one statement allows."""
    codes = [talk.codes.get(name) for name in filters]
    worst = max((code for code in codes if code is not None), default=None)
    if worst is None:
        yield policy.about.warning(
            "no-suback", "No SUBACK came.", general, "Ask again: fleet-agent doctor --online"
        )
    elif worst == NOT_AUTHORIZED:
        resource = f"topicfilter/{general}"
        is_pattern = [general] != list(filters)
        yield policy.lacks("iot:Subscribe", resource, f"SUBACK {worst}", is_pattern=is_pattern)
    elif worst >= _REFUSED:
        yield _odd(policy, f"SUBACK {worst}", general)
    else:
        yield policy.about.ok(f"SUBACK {worst}: {general}", general)


def _published(talk: Conversation, policy: _Policy, message: Outgoing) -> Findings:
    answer = talk.publish(message)
    match answer:
        case int(code) if code == NOT_AUTHORIZED:
            yield _may_not_publish(talk, policy, message, f"PUBACK {code}")
        case Ended():
            yield _may_not_publish(talk, policy, message, f"The connection ended ({answer})")
        case int(code) if code >= _REFUSED:
            yield _odd(policy, f"PUBACK {code}", message.topic)
        case int(code):
            yield policy.about.ok(f"PUBACK {code}: {message.topic}", message.topic)
        case Unsent() | None:
            yield policy.about.warning(
                "no-puback",
                "No PUBACK came.",
                message.topic,
                "Ask again: fleet-agent doctor --online",
            )


def _may_not_publish(
    talk: Conversation, policy: _Policy, message: Outgoing, words: str
) -> Finding:
    action = "iot:Publish"
    if message.retain and talk.publish(dataclasses.replace(message, retain=False)) in PUBLISHED:
        action = "iot:RetainPublish"  # a right of its own
    return policy.lacks(action, f"topic/{message.topic}", words)


def _odd(policy: _Policy, words: str, topic: str) -> Finding:
    return policy.about.failed(
        "topic-refused",
        f"{words}: AWS IoT does not accept {topic}.",
        topic,
        "144, 143: no topic that AWS IoT takes; 151: a quota; others: ask again",
    )
