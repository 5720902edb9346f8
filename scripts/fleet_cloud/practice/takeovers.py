"""Tries to register a device that is in service once more: each attempt must be admitted, or must be refused."""

import dataclasses
import itertools
import time
from collections.abc import Callable, Mapping
from pathlib import Path

from fleet_cloud.aws.calls import Aws
from fleet_cloud.fleet import registrations
from fleet_cloud.fleet.connection import Identity, RefusedError
from fleet_cloud.plan.hook.certificate import key_hash
from fleet_cloud.practice.verification import Registered, Trial, Wanted

_WINDOW_SECONDS = 300


@dataclasses.dataclass(frozen=True, kw_only=True)
class Key:
    """A device's key, and a request made with it."""

    path: Path
    request: str


class Takeovers:
    """Makes the attempts; what was registered by them is for the caller to delete.

    Args:
        aws: Opens windows.
        trial: Registers, and keeps how it ended.
        claim: Under which everybody comes.
        parameters: Of the device in service.
        new_key: Makes a key.
    """

    def __init__(
        self,
        aws: Aws,
        trial: Trial,
        claim: Identity,
        parameters: Mapping[str, str],
        new_key: Callable[[str], Key],
    ) -> None:
        self.taken: list[Registered] = []
        self._aws = aws
        self._trial = trial
        self._claim = claim
        self._parameters = parameters
        self._new_key = new_key
        self._numbers = itertools.count(1)
        self._certificates: dict[Path, Path] = {}

    def run(
        self,
        made: Registered,
        own: Key,
        client_id: str,
        other_key: Key,
        other: Registered | None,
    ) -> None:
        """Tries everything.

        Args:
            made: The device in service.
            own: Its key.
            client_id: Of a claim.
            other_key: Another device's.
            other: That device; nothing where only one serial number may register.
        """
        by_claim = (self._claim, client_id)
        stranger = self._new_key("stranger")
        self._refused("another key registers the device again by the claim", *by_claim, stranger)
        if other:
            who = (other.identity, other.thing)
            self._refused("another device's key registers it by the claim", *by_claim, other_key)
            self._refused("another device registers it under its certificate", *who, stranger)
        self._allowed("its own key registers it again, as its certificate expired", *by_claim, own)
        self._allowed(
            "its own key registers it twice, as the answer was lost", *by_claim, own, twice=True
        )
        self._allow(made.thing, any_key=False)
        self._allowed("in a window its own key registers it", *by_claim, own)
        self._refused("in a window another key registers it", *by_claim, stranger)
        listed = self._new_key("listed")
        self._refused("a key that is not the expected one registers it", *by_claim, listed)
        self._allow(made.thing, any_key=False, expected=self._hash(listed))
        self._allowed("the expected key registers it", *by_claim, listed)
        self._refused("with a key expected another one registers it", *by_claim, stranger)
        self._allow(made.thing, any_key=True)
        self._allowed("in a window for any key another key registers it", *by_claim, stranger)
        late = self._new_key("late")
        self._refused("once it is used up one more key registers it", *by_claim, late)

    def _allow(self, thing: str, *, any_key: bool, expected: str = "") -> None:
        known = registrations.ask(self._aws, thing)
        changed = dataclasses.replace(
            known.registration,
            until=int(time.time()) + _WINDOW_SECONDS,
            any_key=any_key,
            expected=expected or known.registration.expected,
        )
        self._aws.change(registrations.write(self._aws, known, changed))

    def _hash(self, key: Key) -> str:
        """Returns the hash of a key out of the certificate that it was refused with."""
        return key_hash(self._certificates[key.path].read_text())

    def _allowed(
        self, attempted: str, who: Identity, client_id: str, key: Key, *, twice: bool = False
    ) -> None:
        self._trial.note(attempted, "allowed", self._attempt(who, client_id, key, twice=twice))

    def _refused(self, attempted: str, who: Identity, client_id: str, key: Key) -> None:
        self._trial.note(attempted, "refused", self._attempt(who, client_id, key))

    def _attempt(
        self, who: Identity, client_id: str, key: Key, *, twice: bool = False
    ) -> RefusedError | None:
        """Returns how AWS IoT refused it; None when it registered."""
        certificate = key.path.with_name(f"again-{next(self._numbers)}.crt")
        self._certificates[key.path] = certificate
        request = Wanted(
            request=key.request,
            identity=Identity(certificate=certificate, key=key.path),
            parameters=self._parameters,
            twice=twice,
        )
        try:
            self.taken.append(self._trial.provision(who, client_id, request))
        except RefusedError as error:
            return error
        return None
