"""Sessions with the provisioning API under the claim, or under the device's own credential for a rotation."""

from fleet_agent import clock
from fleet_agent.credentials import certificates
from fleet_agent.credentials.model import KeyPair
from fleet_agent.errors import CLAIM_EXPIRED, AgentError, DeviceError
from fleet_agent.provisioning import clockwatch
from fleet_agent.provisioning.clockwatch import ClockWatch
from fleet_agent.provisioning.dependencies import Api, Dependencies
from fleet_agent.provisioning.report import Milestone


class ClaimSession:
    """Begins, opens and closes one session at a time; the claim is read again for each, as it may have been replaced.

    Args:
        endpoint: Where it connects to, for the report.
        needs: Reads the claim and makes the sessions.
        watch: Learns from the claim's dates.
    """

    def __init__(self, endpoint: str, needs: Dependencies, watch: ClockWatch) -> None:
        self._endpoint = endpoint
        self._needs = needs
        self._watch = watch
        self.api: Api | None = None

    def begin(self) -> Api:
        """Begins a session, which may still be connecting when this returns.

        Raises:
            DeviceError: The claim has expired, is damaged, or its key belongs to another certificate.
            UnreachableError: Its dates do not fit the clock, and the clock is to blame.
        """
        try:
            pair = self._needs.read_pair()
            is_fine = clockwatch.looks_valid(pair.certificate, self._needs.clock.wall())
            if not is_fine:
                self._check(pair)
            self.api = self._needs.make_api(pair)
            self.api.start()
            if is_fine:
                self._check(pair)  # while the handshake goes on
        except AgentError as error:
            error.step = Milestone.CLAIM_SESSION
            raise
        return self.api

    def use(self) -> None:
        """Waits until the session that was begun is open."""
        if self.api is None or self.api.is_open:
            return
        try:
            self.api.wait_open()
        except AgentError as error:
            error.step = Milestone.CLAIM_SESSION
            raise
        self._needs.report.step(Milestone.CLAIM_SESSION, self._endpoint)

    def close(self) -> None:
        """Disconnects, if there is a session."""
        if self.api is not None:
            self.api.close()
            self.api = None

    def _check(self, pair: KeyPair) -> None:
        """Checks the claim's dates, and that its two files belong together."""
        dates = self._needs.call(certificates.checked_validity, pair)
        if self._watch.has_expired(dates, pair.certificate_file):
            raise DeviceError(
                f"The claim in {pair.certificate_file} expired on {clock.text(dates.not_after)}.",
                remedy="Replace it by a new one: fleet-cloud claim new (a temporary claim is valid for five minutes).",
                code=CLAIM_EXPIRED,
            )
