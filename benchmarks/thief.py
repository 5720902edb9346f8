"""The thief of ``takeover``, who has a fleet's claim and a key of his own."""

import contextlib
import random
import threading
from collections.abc import Sequence
from typing import TYPE_CHECKING

from benchmarks.fleet_of_agents import mailbox_of_thread
from benchmarks.provision import FLEET

from fleet_agent.clock import SystemClock
from fleet_agent.config.settings import Settings
from fleet_agent.credentials.model import Secret
from fleet_agent.errors import AgentError
from fleet_agent.identity.configured import read_claim, require_section
from fleet_agent.provisioning.aws import ProvisioningClient
from fleet_agent.provisioning.model import Plan, RejectedError
from fleet_agent.session.route import route
from support.csr import make_csr, make_key

if TYPE_CHECKING:
    pass


class Thief(threading.Thread):
    """Has the claim, and tries every serial number with keys of his own.

    Args:
        settings: Of any device: they name the claim.
        serials: What he knows.
    """

    def __init__(self, settings: Settings, serials: Sequence[str]) -> None:
        super().__init__(daemon=True)
        self._settings = settings
        self._serials = [*serials]
        self._key = make_key()
        self.ends = threading.Event()
        self.tried: dict[str, int] = {}
        self.certificates: set[str] = set()
        self.taken: list[str] = []
        self.errors: dict[str, int] = {}

    def run(self) -> None:
        """Go through all of them, in another order each time, until told to end and once at least."""
        while not self.ends.is_set() or len(self.tried) < len(self._serials):
            random.shuffle(self._serials)
            for serial in self._serials:
                if self.ends.is_set() and serial in self.tried:
                    continue
                try:
                    self._try(serial)
                except AgentError as error:
                    self.errors[error.code] = self.errors.get(error.code, 0) + 1

    def _try(self, serial: str) -> None:
        plan = Plan(
            endpoint=self._settings.endpoint,
            template=FLEET,
            method="csr",
            key_type="ec-p256",
            parameters={},
        )
        claim = require_section(self._settings.claim, "claim")
        pair = read_claim(claim, self._settings)
        clock = SystemClock()
        api = ProvisioningClient(route(self._settings), pair, plan, mailbox_of_thread(), clock)
        api.start()
        with contextlib.closing(api):
            api.wait_open()
            made = api.create_certificate(make_csr(self._key))
            self.certificates.add(made.certificate_id)
            try:
                api.register_thing(Secret(made.ownership_token.reveal()), {"SerialNumber": serial})
            except RejectedError as error:
                if error.status_code != 403:  # noqa: PLR2004
                    name = str(error.status_code)
                    self.errors[name] = self.errors.get(name, 0) + 1
                    return
                self.tried[serial] = self.tried.get(serial, 0) + 1
            else:
                self.taken.append(serial)
