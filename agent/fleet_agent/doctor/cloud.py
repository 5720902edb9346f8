"""What the broker answers: CONNACK, and a SUBACK or PUBACK for each topic that the claim and the device need.

Nothing is created: the two requests of provisioning that are published carry an empty object, which AWS IoT rejects (no
CSR, no ownership token). CreateKeysAndCertificate would create a certificate whatever it gets, so it is never
published to. The device's own topics get a message with ``"doctor": true``.
"""

import dataclasses
import os
from collections.abc import Callable, Iterator, Sequence

from fleet_agent.config.settings import Settings
from fleet_agent.config.topics import sources
from fleet_agent.credentials.model import Credential, KeyPair
from fleet_agent.doctor import arn as arns
from fleet_agent.doctor.device import Device
from fleet_agent.doctor.finding import Finding, Findings, Level, Subject
from fleet_agent.doctor.policy import Policy, granted, published
from fleet_agent.errors import AgentError, NotAllowedError, TemporaryError
from fleet_agent.identity import own_session
from fleet_agent.orders import filters as order_filters
from fleet_agent.pasted import Arn
from fleet_agent.process.mailbox import Mailbox
from fleet_agent.provisioning import aws
from fleet_agent.session.conversation import Conversation
from fleet_agent.session.message import Outgoing, Upkeep
from fleet_agent.session.mqtt import Session
from fleet_agent.session.route import Route
from fleet_agent.statedir.lock import take_lock
from fleet_agent.telemetry.reading import timed
from fleet_agent.topics.names import Topics

_ANSWER_LIMIT = 6.0  # seconds to an answer of the provisioning API


# The claim -----------------------------------------------------------------------------------------------------------


def check_claim(device: Device, route: Route, pair: KeyPair, arn: Arn) -> Findings:
    """Connects as the claim, and tries everything that provisioning needs."""
    about = Subject("as the claim")
    wanted = device.settings.provisioning if device.settings else None
    if wanted is None:
        yield about.note(
            "no-provisioning", "Without a section `provisioning` the claim is not used."
        )
        return
    policy = Policy(about=about, who="claim", arn=arn)
    filters = [(name, 0) for name in _replies(wanted.template, wanted.method)]
    talk = _conversation(device, route, pair, aws.claim_client_id(), filters, is_thing=False)
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
    """Opens one under this credential. Acknowledges nothing, so that AWS keeps what it has queued for the device."""
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


def _replies(template: str, method: str) -> list[str]:
    return [name for topic in aws.operations(template, method) for name in aws.replies(topic)]


def _provisioning(talk: Conversation, policy: Policy, template: str, method: str) -> Findings:
    for topic in aws.operations(template, method):
        found = list(granted(talk, policy, aws.replies(topic), f"{topic}/*"))
        yield from found
        if talk.ended:
            return
        if topic == aws.CREATE_KEYS:
            yield _not_tried(policy, topic)
            continue
        found += published(talk, policy, Outgoing(topic=topic, payload=b"{}"))
        yield found[-1]
        if talk.ended:
            return
        if all(finding.level is Level.OK for finding in found) and not talk.receives_below(
            topic, _ANSWER_LIMIT
        ):
            resource = f"topic/{topic}/*"
            yield policy.lacks("iot:Receive", resource, "No answer arrived", is_pattern=True)


def _not_tried(policy: Policy, topic: str) -> Finding:
    note = policy.about.note(
        "publish-not-tried",
        "Publishing is not tried, because it would create a certificate.",
        topic,
        f"Check by hand that the policy contains this statement{arns.missing(policy.arn)}:",
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
        yield about.note("not-provisioned", "This device has no identity to connect with yet.")
        return
    try:
        lock = take_lock(device.state_dir)  # so that no agent starts meanwhile
    except TemporaryError:
        yield about.note(
            "device-in-use",
            f"The agent runs as {credential.client_id}: a second connection would disconnect it.",
            credential.client_id,
            "Look at its connection with fleet-agent status; or stop it first: systemctl stop fleet-agent.socket "
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
            "The unit passes the PIN of its key, so connecting cannot be tried from a shell.",
            pair.private_key_file,
        )
        return
    policy = Policy(about=about, who="device", arn=arn, name=credential.thing_name)
    topics = own_session.topics(settings, credential)
    filters = _filters(settings, credential, topics)
    rotation = _rotation(settings)
    asked = [*filters, *((name, 0) for name in (_replies(*rotation) if rotation else ()))]
    talk = _conversation(device, route, pair, credential.client_id, asked, is_thing=True)

    def everything() -> Findings:
        for name, _ in filters:
            yield from granted(talk, policy, [name], name)
        for message in _messages(device, credential, topics):
            if not talk.ended:
                yield from published(talk, policy, message)
        if rotation is None:
            yield policy.about.note(
                "rotation-not-tried",
                "Rotation was not tried: nothing is configured that would request it before the certificate expires.",
                remedy="Before you configure `rotation`: fleet-cloud up --rotation adds what the policy needs",
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
    if (
        presence := settings.connection.presence
    ):  # no agent runs, so this is what is retained there already
        yield Outgoing(
            topic=topics.fill(presence.topic),
            payload=presence.offline.encode(),
            retain=presence.retain,
        )
    if settings.rotation.jobs or settings.move.jobs or settings.jobs.enabled:
        # This only reads; the request for the next job would start it.
        yield Outgoing(topic=f"$aws/things/{credential.client_id}/jobs/$next/get", payload=b"{}")


# Both ----------------------------------------------------------------------------------------------------------------


def _connected(
    talk: Conversation,
    filters: Sequence[tuple[str, int]],
    policy: Policy,
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
        yield policy.about.ok("CONNACK 0: it is allowed to connect.")
        talk.granted([name for name, _ in filters])
        yield from ask()
        if talk.ended:
            yield policy.about.failed(
                "connection-lost",
                f"AWS IoT ended the connection: {talk.ended}.",
                "",
                "Later topics were not tried; correct this, then run the doctor again",
            )
    finally:
        talk.close()
