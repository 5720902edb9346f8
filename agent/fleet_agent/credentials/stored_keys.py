"""The private keys of generations: each in its folder, or in a hardware token by a name that the folder has."""

import json
import logging
from collections.abc import Iterable

from fleet_agent.credentials import records
from fleet_agent.credentials.folders import HARDWARE_KEY, KEY, Folders
from fleet_agent.credentials.model import HardwareKey, HardwareToken, KeyName, PrivateKey, Secret
from fleet_agent.errors import AgentError, DeviceError

_log = logging.getLogger(__name__)


class StoredKeys:
    """Finds them, and destroys those of hardware tokens that the agent made.

    Args:
        folders: The generations.
        hardware_tokens: Those that the configuration names; no other is asked.
    """

    def __init__(self, folders: Folders, hardware_tokens: Iterable[HardwareToken]) -> None:
        self._folders = folders
        self._hardware_tokens = {each.label: each for each in hardware_tokens}

    def know(self, token: HardwareToken) -> None:
        """Takes a hardware token for one that the configuration names."""
        self._hardware_tokens[token.label] = token

    def key(self, number: int) -> PrivateKey:
        """The key of a generation: PEM, or which key of a hardware token it is.

        Raises:
            DeviceError: It is missing, or in a hardware token that is not known.
            StateDirectoryError: A file is damaged or cannot be read.
        """
        return self._hardware_key(number) or Secret(self._folders.text(number, KEY))

    def name(self, number: int) -> str:
        """Returns the key of a generation as a file, or a URI in a hardware token."""
        name = self._key_name(number)
        return str(name) if name is not None else str(self._folders.folder(number) / KEY)

    def destroy(self, number: int, *, although_shared: bool = False) -> None:
        """Destroys the key of a generation if the agent made it in a hardware token.

        If that cannot be reached now, it keeps its key: that is logged, and is no error.

        Args:
            number: The generation.
            although_shared: Even if another generation has the same key, as after recovery.
        """
        try:
            key = self._hardware_key(number)
            if key is None or not key.is_ours:
                return
            if although_shared or not self._is_shared(number):
                from fleet_agent.credentials.hardware_token import keys as hardware_keys

                hardware_keys.destroy(key)
        except AgentError as error:
            _log.warning(
                "the key of generation %s could not be deleted from its hardware token: %s",
                number,
                error.title,
            )

    def _is_shared(self, number: int) -> bool:
        name = self._key_name(number)
        others = (other for other in self._folders.numbers() if other != number)
        return any(self._key_name(other) == name for other in others)

    def _hardware_key(self, number: int) -> HardwareKey | None:
        name = self._key_name(number)
        if name is None:
            return None
        token = self._hardware_tokens.get(name.token)
        if token is None:
            raise DeviceError(
                f"The key of generation {number} is in the hardware token {name.token!r}, which the configuration does "
                "not name.",
                remedy="Add it: provisioning.key: {store: pkcs11, module: /usr/lib/….so, "
                f"token: {json.dumps(name.token)}, pin_file: FILE}} (docs/how-to/hardware-keys.md).",
                code="hardware-token-not-configured",
            )
        return HardwareKey(token=token, label=name.label, is_ours=name.is_ours)

    def _key_name(self, number: int) -> KeyName | None:
        return self._folders.load(number, HARDWARE_KEY, records.load_key_name)
