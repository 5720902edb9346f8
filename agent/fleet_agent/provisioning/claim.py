"""The claim, looked at, and the one session under it at a time."""

from fleet_agent import clock
from fleet_agent.credentials import keys
from fleet_agent.credentials.model import KeyPair
from fleet_agent.errors import AgentError, DeviceError
from fleet_agent.provisioning import clockwatch
from fleet_agent.provisioning.aws import ProvisioningClient
from fleet_agent.provisioning.clockwatch import ClockWatch
from fleet_agent.provisioning.model import Plan
from fleet_agent.provisioning.world import World

STEP = "claim session"  # that people see, though nothing of it is kept


class ClaimSession:
    """Begins, opens and closes sessions under the claim, read anew for each: somebody may have put another there.

    Args:
        plan: Which template and method to be ready for.
        world: Where and with what.
        watch: Learns from the claim's dates.
    """

    def __init__(self, plan: Plan, world: World, watch: ClockWatch) -> None:
        self._plan = plan
        self._world = world
        self._watch = watch
        self.identity: ProvisioningClient | None = None

    def begin(self) -> ProvisioningClient:
        """A session that may still be connecting.

        Raises:
            DeviceError: The claim has expired, is damaged, or its key is another's.
            UnreachableError: Its dates and the clock do not fit, and the clock is to blame.
        """
        try:
            pair = self._world.read_claim()
            is_fine = clockwatch.looks_valid(pair.certificate, self._world.clock.wall())
            if not is_fine:
                self._check(pair)
            self.identity = ProvisioningClient(
                self._world.route,
                pair,
                self._plan,
                self._world.mailbox,
                self._world.clock,
                client_id=self._world.client_id,
            )
            self.identity.start()
            if is_fine:
                self._check(pair)  # while the handshake goes on
        except AgentError as error:
            error.step = STEP
            raise
        return self.identity

    def use(self) -> None:
        """Wait until the session that was begun is open."""
        if self.identity is None or self.identity.is_open:
            return
        try:
            self.identity.wait_open()
        except AgentError as error:
            error.step = STEP
            raise
        self._world.report.step(STEP, self._world.route.host)

    def close(self) -> None:
        """Disconnect, if there is a session."""
        if self.identity is not None:
            self.identity.close()
            self.identity = None

    def _check(self, pair: KeyPair) -> None:
        """Look at the claim's dates, and whether its two files belong together."""
        keys.check_pair(pair)
        dates = keys.validity(pair.certificate, pair.certificate_file)
        self._watch.not_before(dates.not_before)
        now = self._world.clock.wall()
        if now < dates.not_before:
            raise self._watch.error()
        if now <= dates.not_after:
            return
        if self._watch.is_doubtful:
            self._watch.suspect()
            raise self._watch.error()
        raise DeviceError(
            f"The claim in {pair.certificate_file} expired on {clock.text(dates.not_after)}.",
            remedy="Put a new one in its place: fleet-cloud claim new (a temporary claim lives five minutes).",
            code="claim-expired",
        )
