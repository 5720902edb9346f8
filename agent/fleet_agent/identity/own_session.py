"""The device's own session as it is in service: what it connects with, how it is kept, and the last will.

The proof opens it, so that the session that proved a credential is the one that stays.
"""

import os

from fleet_agent.config.paths import reserved
from fleet_agent.config.settings import Settings
from fleet_agent.config.subscriptions import Presence
from fleet_agent.credentials.model import Credential, KeyPair
from fleet_agent.credentials.store import Store
from fleet_agent.errors import DeviceError
from fleet_agent.process.mailbox import Mailbox
from fleet_agent.session.message import Outgoing, Upkeep
from fleet_agent.session.mqtt import Session
from fleet_agent.session.route import route
from fleet_agent.topics.names import Topics


def open_session(
    settings: Settings, credential: Credential, pair: KeyPair, mailbox: Mailbox
) -> Session:
    """Makes the session; it is not started.

    Raises:
        DeviceError: The certificate, key or CA cannot be loaded.
    """
    wanted = settings.connection
    announced = presence(settings, topics(settings, credential))
    will = None
    if announced is not None:
        will = Outgoing(
            topic=announced.topic, payload=announced.offline.encode(), retain=announced.retain
        )
    return Session(
        route(settings),
        pair,
        credential.client_id,
        mailbox,
        is_thing=True,
        upkeep=Upkeep(
            keep_alive=round(wanted.keep_alive),
            expiry=round(wanted.expiry),
            will=will,
            flow_control=False,  # the publisher keeps to AWS's limits itself
        ),
    )


def start(settings: Settings, credential: Credential, store: Store, mailbox: Mailbox) -> Session:
    """Opens the session of the credential in use, without waiting for it.

    Raises:
        DeviceError: The certificate, key or CA cannot be loaded.
    """
    session = open_session(settings, credential, store.key_pair(credential.generation), mailbox)
    session.start()
    return session


def topics(settings: Settings, credential: Credential) -> Topics:
    """Returns the values of placeholders in topics."""
    wanted = settings.provisioning
    if wanted is None:
        return Topics(credential.topic_values)

    def find(name: str) -> str | None:
        # Imported when a topic names a parameter: it would stay in the daemon's memory.
        from fleet_agent import device

        return device.finder(wanted.parameters, reserved(settings, os.environ))(name)

    def find_at_once(name: str) -> str | None:
        from fleet_agent import device

        own = reserved(settings, os.environ)
        return device.finder(wanted.parameters, own, runs_programs=False)(name)

    return Topics(credential.topic_values, find, find_at_once)


def presence(settings: Settings, known: Topics) -> Presence | None:
    """Returns the configured presence, its topic filled in; None if there is none, or it cannot be filled in."""
    wanted = settings.connection.presence
    if wanted is None:
        return None
    try:
        topic = known.fill(wanted.topic)
    except DeviceError:  # reported when the session is put in service
        return None
    return Presence(
        topic=topic, online=wanted.online, offline=wanted.offline, retain=wanted.retain
    )
