"""Devices whose certificates were revoked at once, in simulated time: the ladder back's own decisions and the walk's.

Time begins where the first of them may give its identity up. A try ends after so many seconds, as the daemon's does,
and the next one comes by ``ladder.wait``; a certificate is requested once in ``ladder.CERTIFICATE_EVERY``.
"""

import collections
import dataclasses

from fleet_agent.errors import AgentError
from fleet_agent.identity import ladder
from fleet_agent.identity.recover import LIMIT
from fleet_agent.provisioning.model import Step
from fleet_agent.session.backoff import Patience
from fleet_cloud.rehearsal.case import Case, Client, Figures
from fleet_cloud.rehearsal.simulation import Device, Herd


@dataclasses.dataclass
class Try:
    """One device on its ladder: its tries, and when the one under way began; when it asked for a certificate."""

    tries: int = 0
    began: float | None = None
    asked: float | None = None
    certificates: int = 0


class Revoked(Herd):
    """One run: every device of ``case`` is refused from the same moment on."""

    def __init__(self, case: Case, client: Client, seed: int) -> None:
        super().__init__(case, client, seed)
        self._tries: dict[Device, Try] = collections.defaultdict(Try)

    @property
    def most_certificates(self) -> int:
        """Of one device."""
        return max(known.certificates for known in self._tries.values())

    def _spread(self, device: Device, now: float) -> float:
        del device, now
        return ladder.share(self._client.window, self._random.random())

    def _ask(self, device: Device, step: Step, now: float) -> None:
        known = self._tries[device]
        if known.began is None:
            known.began, known.tries = now, known.tries + 1
        if step is Step.ISSUE and known.asked is not None:
            if (left := known.asked + ladder.CERTIFICATE_EVERY - now) > 0:
                self._at(now + left, device)
                return
            known.asked = None
        before = self._certificates
        super()._ask(device, step, now)
        if self._certificates > before:
            known.asked, known.certificates = now, known.certificates + 1

    def _wait(self, device: Device, error: AgentError, patience: Patience, now: float) -> None:
        known = self._tries[device]
        began = now if known.began is None else known.began
        again = now + self._client.delay(patience, device.failures, self._random.random())
        if again >= began + LIMIT:
            again = began + LIMIT + ladder.wait(error, known.tries, self._random.random())
            known.began = None
            device.failures = 0
        self._at(again, device)

    def run(self) -> Figures:
        """Let time pass.

        Raises:
            AssertionError: A device asked for a second certificate within a day.
        """
        figures = super().run()
        if self.most_certificates > 1 and max(figures.done) < ladder.CERTIFICATE_EVERY:
            raise AssertionError(f"{self.most_certificates} certificates for one device")
        return figures
