"""The device as the checks see it."""

import contextlib
import dataclasses
import os
import pwd
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

from fleet_agent.clock import Clock
from fleet_agent.config.paths import CREDENTIAL
from fleet_agent.config.settings import STATE_DIR, Settings
from fleet_agent.credentials.model import Credential, HardwareKey, PrivateKey
from fleet_agent.credentials.store import Store
from fleet_agent.errors import AgentError
from fleet_agent.identity import home
from fleet_agent.identity.configured import open_store
from fleet_agent.identity.in_use import in_use
from fleet_agent.record import record
from fleet_agent.statedir.owner import USER


@record
class Device:
    """The device to check.

    Args:
        settings: None when the configuration is wrong: then only what needs none is looked at.
        config: The configuration file.
        state_dir: The state directory.
        runtime_dir: Where a running agent shows its status.
        clock: For dates.
        root: Where the file system begins.
        environment: The process's own.
    """

    settings: Settings | None
    config: Path
    state_dir: Path
    runtime_dir: Path
    clock: Clock
    root: Path = Path("/")
    environment: Mapping[str, str] = dataclasses.field(default_factory=lambda: os.environ)

    def at_home(self) -> "Device":
        """Returns the device with the settings of its identity's home."""
        if self.settings is None:
            return self
        settings = home.at_home(self.settings, self.credential())
        return dataclasses.replace(self, settings=settings)

    def store(self) -> Store:
        """Opens its credential store."""
        return open_store(self.settings) if self.settings else Store(self.state_dir, self.clock)

    @property
    def is_anothers(self) -> bool:
        """Whether its state directory is another user's, who alone can look into it."""
        try:
            return os.geteuid() not in (0, self.state_dir.stat().st_uid)
        except PermissionError:
            return True
        except OSError:
            return False

    def is_elsewhere(self, reference: str | None) -> bool:
        """Whether a file comes from the service manager, which passes it to the unit and to no shell."""
        return bool(
            reference
            and reference.startswith(CREDENTIAL)
            and "CREDENTIALS_DIRECTORY" not in self.environment
        )

    def pin_is_elsewhere(self, key: PrivateKey) -> bool:
        """Whether a key is in a hardware token whose PIN cannot be read from here."""
        return isinstance(key, HardwareKey) and self.is_elsewhere(key.token.pin_file)

    def credential(self) -> Credential | None:
        """The current credential; None also when it cannot be read, which ``identity`` reports."""
        try:
            return in_use(self.store())
        except AgentError:
            return None


class SecretFile(NamedTuple):
    """A secret that the settings name: where it is, what it is, and the code when all can read it."""

    reference: str
    words: str
    code: str


def secrets(settings: Settings) -> Iterator[SecretFile]:
    """Yields the secret files that the settings name."""
    if settings.claim:
        yield SecretFile(settings.claim.private_key, "the batch's claim", "claim-readable")
    if settings.identity.pair:
        yield SecretFile(settings.identity.pair[1], "its own key", "key-readable")
    for place in settings.move.allowed.values():
        yield SecretFile(place.claim.private_key, "a destination's claim", "claim-readable")
    if settings.provisioning and settings.provisioning.key.pin_file:
        yield SecretFile(
            settings.provisioning.key.pin_file, "the hardware token's PIN", "secret-readable"
        )
    if settings.proxy_credentials:
        yield SecretFile(settings.proxy_credentials, "the proxy's password", "secret-readable")


def agent_user(state_dir: Path) -> tuple[int, int] | None:
    """User and group id that the agent runs with: the state directory's owner, or the package's user in its own place.

    None if there is no such user: a directory of root's, on a bench.
    """
    found = None
    with contextlib.suppress(OSError):  # it does not exist, or this user may not see it
        found = state_dir.stat()
    if found is not None and found.st_uid != 0:
        return found.st_uid, found.st_gid
    if str(state_dir) != STATE_DIR:
        return None
    try:
        user = pwd.getpwnam(USER)
    except KeyError:
        return None
    return user.pw_uid, user.pw_gid
