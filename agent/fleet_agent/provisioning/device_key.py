"""The device's own key and its CSR: made here, given by the user, or in a hardware token.

An identity that is recovered keeps its key, by which the cloud knows it.

A key in a hardware token is looked for and made in this process; the worker has the token sign the CSR afterwards.
Modules such as tpm2-pkcs11 show a process the keys that were there when it began to use the module, and those that it
made itself: this process, where a session with the old key may be open, is to use the new one.
"""

import dataclasses

from fleet_agent.credentials import keys
from fleet_agent.credentials.hardware_token import keys as hardware_keys
from fleet_agent.credentials.model import Csr, Generation, HardwareKey, HardwareToken
from fleet_agent.credentials.store import Store
from fleet_agent.provisioning.dependencies import Call
from fleet_agent.provisioning.model import Plan


class DeviceKey:
    """The key of the generation under way.

    Args:
        plan: Says where the key comes from.
        store: Keeps it.
        call: Calls what needs cryptography.
    """

    def __init__(self, plan: Plan, store: Store, call: Call) -> None:
        self._plan = plan
        self._store = store
        self._call = call

    def make(self, found: Generation) -> Generation:
        """Makes the key, or takes the one that is given, and stores it.

        Raises:
            AgentError: It cannot be made or stored.
        """
        given = self._plan.csr_key
        if self._plan.key_of is not None:
            given = self._store.key(self._plan.key_of)
        if given is not None:
            return self._store.keep_key(found, given)
        if self._plan.hardware_token is not None:
            return self._choose_hardware_key(found, self._plan.hardware_token)
        return self._store.keep_key(found, self._call(keys.make_private_key, self._plan.key_type))

    def _choose_hardware_key(self, found: Generation, token: HardwareToken) -> Generation:
        """The key that the hardware token has under the label, or a new one; always a new one for a replacement."""
        label = self._plan.label
        if self._store.has_current():
            label = f"{label}-{found.number:04d}"
        key = HardwareKey(token=token, label=label)
        is_there = hardware_keys.exists(key)
        return self._store.keep_key(found, dataclasses.replace(key, is_ours=not is_there))

    def csr(self, found: Generation) -> Csr | None:
        """The request for a certificate; None where AWS makes the key.

        Raises:
            AgentError: The key cannot be used.
        """
        if self._plan.method == "keys":
            return None
        if self._plan.csr is not None:
            return self._plan.csr
        key = self._store.key(found.number)
        if isinstance(key, HardwareKey) and key.is_ours:
            # Does nothing where an interrupted walk has made it.
            hardware_keys.make(key, self._plan.key_type)
        return self._call(keys.make_csr, key)
