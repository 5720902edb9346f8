"""Tries what a claim and a device may do: each check is one attempt that AWS IoT must allow or must refuse."""

import dataclasses
import time
from collections.abc import Callable, Mapping, Sequence

from fleet_cloud.aws.calls import text
from fleet_cloud.aws.names import FleetNames
from fleet_cloud.fleet import device_credentials
from fleet_cloud.fleet.configuration import Endpoint
from fleet_cloud.fleet.connection import (
    Connection,
    Identity,
    RefusedError,
    Server,
    check_reachable,
)
from fleet_cloud.local import files

CREATE_FROM_CSR = "$aws/certificates/create-from-csr/json"

# A newly attached policy may not have spread everywhere; a device would try again, too.
_TRIES = 6
_PAUSE_SECONDS = 2.0


@dataclasses.dataclass(frozen=True, kw_only=True)
class Check:
    """One attempt and how it ended."""

    attempted: str
    must_be: str
    was: str
    said: str = ""

    @property
    def is_right(self) -> bool:
        """It ended as it must."""
        return self.must_be == self.was


@dataclasses.dataclass(frozen=True, kw_only=True)
class Registered:
    """What provisioning gave."""

    thing: str
    certificate_id: str
    identity: Identity


@dataclasses.dataclass(frozen=True, kw_only=True)
class Wanted:
    """What a device asks for.

    Args:
        request: Its certificate signing request.
        identity: Its key, and where its certificate goes.
        parameters: For the template.
        twice: It registers twice, as after a lost answer.
    """

    request: str
    identity: Identity
    parameters: Mapping[str, str]
    twice: bool = False


@dataclasses.dataclass(frozen=True, kw_only=True)
class Takeover:
    """What came of registering a device that exists once more, with the claim and another key.

    Args:
        taken: What AWS IoT gave, or nothing.
        said: How it refused.
    """

    taken: Registered | None
    said: str = ""


class Trial:
    """Makes the attempts and keeps how they ended.

    Args:
        server: Where devices connect.
        names: The fleet's.
        say: Prints each check as it is made.
    """

    def __init__(self, server: Server, names: FleetNames, say: Callable[[str], None]) -> None:
        self.checks: list[Check] = []
        # Certificates that were made and then refused: AWS would keep them for an hour.
        self.refused: list[str] = []
        self._server = server
        self._names = names
        self._say = say

    def of_claim(self, claim: Identity, client_id: str, other: str) -> None:
        """Tries what a claim must not do; ``other`` is a thing's name that does not exist."""
        template = f"$aws/provisioning-templates/{other}/provision/json"
        first = self._allowed("claim connects as claim-…", claim, client_id, lambda _: None)
        check_reachable(self._server, [first])
        self._refused("claim connects under a thing's name", claim, other, lambda _: None)
        self._refused(
            "claim publishes readings",
            claim,
            client_id,
            lambda session: session.publish(f"dt/{other}/x", {}),
        )
        self._refused(
            "claim subscribes to everything",
            claim,
            client_id,
            lambda session: session.subscribe("#"),
        )
        self._refused(
            "claim registers with another template",
            claim,
            client_id,
            lambda session: session.publish(template, {}),
        )

    def of_device(self, device: Registered, other: str) -> None:
        """Tries what a device must and must not do; ``other`` is another thing's name."""
        thing, own = device.thing, f"dt/{device.thing}/verify"

        def talk(session: Connection) -> None:
            session.subscribe(f"dt/{thing}/#", f"cmd/{thing}/#")
            session.publish(own, {"verify": True})
            session.receive()

        me = device.identity
        self._allowed("device connects as its thing", me, thing, lambda _: None)
        self._allowed("device publishes and receives on its own topic", me, thing, talk)
        self._refused("device connects under another thing's name", me, other, lambda _: None)
        self._refused(
            "device publishes to another thing's topic",
            me,
            thing,
            lambda session: session.publish(f"dt/{other}/system", {}),
        )
        self._allowed(
            "device hears its orders",
            me,
            thing,
            lambda session: session.subscribe(f"cmd/{thing}/#"),
        )
        self._refused(
            "device gives itself an order",
            me,
            thing,
            lambda session: session.publish(f"cmd/{thing}/x", {}),
        )
        self._refused(
            "device subscribes to another thing's topic",
            me,
            thing,
            lambda session: session.subscribe(f"cmd/{other}/#"),
        )
        self._refused(
            "device subscribes to everything", me, thing, lambda session: session.subscribe("#")
        )

    def of_credentials(
        self, device: Registered, endpoint: Endpoint, aliases: Sequence[str]
    ) -> None:
        """Tries which AWS credentials a device gets: of its own role aliases, and of one that is not its."""
        for alias in aliases:
            failure: str | None = None
            for _ in range(_TRIES):
                failure = device_credentials.refusal(
                    self._server, endpoint, device.identity, device.thing, alias
                )
                if failure is None:
                    break
                time.sleep(_PAUSE_SECONDS)
            self.note(f"device gets AWS credentials of {alias}", "allowed", failure)
        other = f"{aliases[0][:100]}-verify-other"
        failure = device_credentials.refusal(
            self._server, endpoint, device.identity, device.thing, other
        )
        self.note("device gets AWS credentials of another role alias", "refused", failure)

    def provision(self, claim: Identity, client_id: str, wanted: Wanted) -> Registered:
        """Provisions a device with its own key.

        Raises:
            RefusedError: AWS IoT says no; says why.
        """
        with Connection(self._server, claim, client_id) as session:
            made = session.ask(CREATE_FROM_CSR, {"certificateSigningRequest": wanted.request})
            files.write_public(wanted.identity.certificate, text(made, "certificatePem"))
            topic = f"$aws/provisioning-templates/{self._names.template}/provision/json"
            registration = {
                "certificateOwnershipToken": text(made, "certificateOwnershipToken"),
                "parameters": dict(wanted.parameters),
            }
            try:
                registered = session.ask(topic, registration)
            except RefusedError:
                self.refused.append(text(made, "certificateId"))
                raise
            if wanted.twice:
                registered = session.ask(topic, registration)
        return Registered(
            thing=text(registered, "thingName"),
            certificate_id=text(made, "certificateId"),
            identity=wanted.identity,
        )

    def take_over(self, claim: Identity, client_id: str, wanted: Wanted) -> Takeover:
        """Tries to become a device that exists, by the claim and what anybody may know of it."""
        try:
            taken = self.provision(claim, client_id, wanted)
        except RefusedError as error:
            self._say("  note a claim and a known serial number take over a device: refused")
            return Takeover(taken=None, said=str(error))
        self._say("  note a claim and a known serial number take over a device: possible")
        return Takeover(taken=taken)

    def _allowed(
        self, attempted: str, me: Identity, client_id: str, attempt: Callable[[Connection], None]
    ) -> RefusedError | None:
        failure = None
        for _ in range(_TRIES):
            failure = self._attempt(me, client_id, attempt)
            if failure is None:
                break
            time.sleep(_PAUSE_SECONDS)
        self.note(attempted, "allowed", failure)
        return failure

    def _refused(
        self, attempted: str, me: Identity, client_id: str, attempt: Callable[[Connection], None]
    ) -> None:
        self.note(attempted, "refused", self._attempt(me, client_id, attempt))

    def _attempt(
        self, me: Identity, client_id: str, attempt: Callable[[Connection], None]
    ) -> RefusedError | None:
        """Returns how AWS IoT refused it; nothing when it was allowed."""
        try:
            with Connection(self._server, me, client_id) as session:
                attempt(session)
        except RefusedError as error:
            return error
        return None

    def note(self, attempted: str, must_be: str, failure: RefusedError | str | None) -> None:
        """Keeps how an attempt ended: how AWS IoT refused it, or None."""
        was, said = ("allowed", "") if failure is None else ("refused", str(failure))
        check = Check(attempted=attempted, must_be=must_be, was=was, said=said)
        self.checks.append(check)
        self._say(f"  {'ok  ' if check.is_right else 'FAIL'} {attempted}: {check.was}")
