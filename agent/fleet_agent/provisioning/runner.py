"""The only hands of provisioning: does what ``machine`` decided, with the identity client, the store and the clock.

``Runner.provision`` is the whole walk. It returns a credential, or raises what stopped it; when that happens every fact
learned so far is on disk and the next call goes on from there.
"""

import dataclasses
from collections.abc import Callable

from fleet_agent import clock, log
from fleet_agent.clock import Clock
from fleet_agent.credentials import keys
from fleet_agent.credentials.model import (
    Credential,
    Csr,
    Event,
    Generation,
    Issued,
    KeyPair,
    Registration,
)
from fleet_agent.credentials.store import Store
from fleet_agent.errors import AgentError, DeviceError, RefusedError, UnreachableError
from fleet_agent.mailbox import Mailbox, TimeUp
from fleet_agent.provisioning import machine
from fleet_agent.provisioning.identity import Certificate, IdentityClient
from fleet_agent.provisioning.model import Plan, RejectedError, Step, Verdict
from fleet_agent.provisioning.proof import Proof
from fleet_agent.provisioning.report import Report
from fleet_agent.session import backoff
from fleet_agent.session.backoff import Patience
from fleet_agent.session.mqtt import Route

CLAIM_SESSION = "claim session"  # a step that people see, though nothing of it is kept
CLOCK_POLL = 5.0  # seconds between looks at a clock that is not set yet


@dataclasses.dataclass(frozen=True, kw_only=True)
class World:
    """What the runner works with.

    ``reading`` gives the payload of the proof. ``outlasts_refusal``: on a bench a refusal ends the command, so that it
    can be mended at once; a daemon waits for the cloud to change.
    """

    route: Route
    telemetry_topic: str
    outlasts_refusal: bool
    store: Store
    mailbox: Mailbox
    clock: Clock
    report: Report
    jitter: Callable[[], float]
    read_claim: Callable[[], KeyPair]
    reading: Callable[[], bytes]


class Runner:
    """One attempt at ``plan``, resumed from what is on disk, in ``world``."""

    def __init__(self, plan: Plan, world: World) -> None:
        self._plan = plan
        self._world = world
        self._store = world.store
        self._clock = world.clock
        self._proof = Proof(
            world.route,
            world.mailbox,
            world.clock,
            world.telemetry_topic,
            world.reading,
            self._tell_waiting,
        )
        self._identity: IdentityClient | None = None
        self._failures = 0
        self._refused_since: float | None = None  # monotonic seconds
        self._last_error: AgentError | None = None
        # This process opened the attempt and has not asked for a certificate yet.
        self._is_first_try = False
        self._was_clock_told = False
        # Unix seconds: the claim's first day, once a claim was read.
        self._clock_is_wrong_before = 0.0

    def provision(self, *, restart: bool = False) -> Credential:
        """Walk to the end.

        Args:
            restart: Drop an attempt under way and begin a new one.

        Raises:
            AgentError: What stopped it, with ``step`` set; after the mailbox's limit the last cause.
            StopRequested: The agent is to end; go on next time.
        """
        found = None if restart else self._store.pending()
        if found is not None and (
            error := machine.difference(found.attempt, self._plan) or machine.damage(found)
        ):
            raise error
        step = machine.next_step(found, self._plan)
        try:
            while step not in (Step.PROMOTE, Step.KEPT):
                found = self._try(step, found)
                step = machine.next_step(found, self._plan)
        except TimeUp:
            raise self._out_of_time(step) from None
        finally:
            self._close_claim()
        if found is None:  # next_step says OPEN then
            raise AssertionError(step)
        if step is Step.KEPT:
            return self._store.describe(found)
        self._tell_log(step, found)
        credential = self._store.promote(found)
        self._world.report.step("current", self._store.folder(found.number).name)
        return credential

    def _try(self, step: Step, found: Generation | None) -> Generation | None:
        self._tell_log(step, found)
        try:
            after = self._do(step, found)
        except (RejectedError, AgentError) as failure:
            self._close_claim()  # one failure, one connection: a late answer finds nobody
            if found is not None:
                found = self._store.pending()  # the step may have kept something before it failed
            verdict = self._judge(failure, step, found)
            verdict.error.step = verdict.error.step or step.value
            if verdict.drop_certificate and found is not None:
                found = self._store.drop_certificate(found)
            self._wait(verdict)
            return found
        self._failures = 0
        self._refused_since = None
        self._last_error = None
        log.about(problem=None)
        return after

    def _tell_log(self, step: Step, found: Generation | None) -> None:
        log.about(
            step=step.value,
            attempt=found.number if found else None,
            tries=found.attempt.tries if found else None,
            certificate_id=found.issued.certificate_id if found and found.issued else None,
        )

    def _held_up(self, error: AgentError) -> AgentError:
        """Keep the cause of a wait, for the log too."""
        self._last_error = error
        log.about(problem=error.code)
        return error

    def _judge(
        self, failure: RejectedError | AgentError, step: Step, found: Generation | None
    ) -> Verdict:
        now = self._clock.monotonic()
        if self._refused_since is None and isinstance(failure, RefusedError):
            self._refused_since = now
        refused_for = 0.0 if self._refused_since is None else now - self._refused_since
        issued = found.issued if found else None
        token_age = self._clock.wall() - issued.received if issued else 0.0
        return machine.judge(failure, step, refused_for, token_age)

    def _out_of_time(self, step: Step) -> AgentError:
        error = self._last_error or UnreachableError(
            "Nothing came of it within the time given by --timeout.",
            remedy="Give it longer (--timeout 0: for ever), and look at the network.",
            code="time-out",
        )
        error.step = error.step or step.value
        return error

    def _do(self, step: Step, found: Generation | None) -> Generation:
        if step is Step.OPEN or found is None:
            self._open_claim()
            self._is_first_try = True
            return self._store.open(self._plan.attempt(self._clock.wall()))
        match step:
            case Step.KEY:
                return self._make_key(found)
            case Step.ISSUE:
                return self._issue(found)
            case Step.REGISTER:
                return self._register(found)
            case _:
                return self._prove(found)

    # Steps ----------------------------------------------------------------------------------------------------------

    def _make_key(self, found: Generation) -> Generation:
        if found.issued is None:
            self._open_claim(found)  # the handshake goes on while the key is made
        if self._plan.csr_key is not None:
            return self._store.keep_key(found, self._plan.csr_key)
        return self._store.keep_key(found, keys.make_private_key(self._plan.key_type))

    def _issue(self, found: Generation) -> Generation:
        identity = self._open_claim(found)
        csr = self._csr(found)
        self._use_claim(identity)
        found = self._count_try(found)
        certificate = identity.create_certificate(csr.pem if csr else None)
        self._world.report.step("certificate", certificate.certificate_id[:12] + "…")
        self._check_key(found, certificate, csr)
        issued = Issued(
            certificate_id=certificate.certificate_id,
            token=certificate.token,
            received=self._clock.wall(),
        )
        found = self._store.keep_certificate(
            found, issued, certificate.pem, certificate.private_key
        )
        self._world.report.step("stored", self._store.folder(found.number).name)
        return found

    def _csr(self, found: Generation) -> Csr | None:
        if self._plan.method == "keys":
            return None
        return self._plan.csr or keys.make_csr(self._store.private_key(found.number))

    def _check_key(self, found: Generation, certificate: Certificate, csr: Csr | None) -> None:
        """A certificate for another key is somebody else's answer: name it, never use it."""
        try:
            theirs = keys.public_key_of_certificate(certificate.pem, "the answer")
            if csr is not None:
                ours = csr.public_key
            elif certificate.private_key is not None:
                ours = keys.public_key_of_key(certificate.private_key, "the answer")
            else:
                ours = b""
            matches = ours == theirs
        except DeviceError:  # no PEM at all: AWS's fault, not the device's
            matches = False
        if not matches:
            self._store.ledger.record(
                certificate.certificate_id, Event.FOREIGN, found.number, self._clock.wall()
            )
            raise UnreachableError(
                f"AWS IoT answered with certificate {certificate.certificate_id}, which is not for our key.",
                remedy="It is not used; a new one is asked for over a new connection.",
                code="certificate-foreign",
            )

    def _register(self, found: Generation) -> Generation:
        identity = self._open_claim(found)
        self._use_claim(identity)
        token = found.issued.token if found.issued else None
        if token is None:
            raise DeviceError(
                f"Generation {found.number} has a certificate but no ownership token.",
                remedy="Drop the attempt and begin anew: fleet-agent provision --restart",
                code="state-damaged",
            )
        if found.attempt.parameters_hash != self._plan.parameters_hash:
            attempt = dataclasses.replace(
                found.attempt, parameters_hash=self._plan.parameters_hash
            )
            found = self._store.keep_attempt(found, attempt)
        thing_name, configuration = identity.register_thing(token, self._plan.parameters)
        found = self._store.keep_registration(
            found, Registration(thing_name=thing_name, device_configuration=configuration)
        )
        self._world.report.step("registered", thing_name or "no thing")
        self._close_claim()
        return found

    def _prove(self, found: Generation) -> Generation:
        credential = self._store.describe(found)
        refused = self._proof.prove(credential, self._store.key_pair(found.number))
        how = f"a session as {credential.client_id}"
        if refused is not None:
            how = f"{how}, its telemetry topic refused"
            self._world.report.problem(refused)
        found = self._store.mark_proven(found, how)
        self._world.report.step("proven", how)
        return found

    # The claim session ------------------------------------------------------------------------------------------------

    def _open_claim(self, found: Generation | None = None) -> IdentityClient:
        """The claim session, begun if there is none; it may still be connecting."""
        if self._identity is None:
            self._await_clock()
            if found is not None and found.issued is None:
                self._await_turn(found)
            pair = self._world.read_claim()
            self._identity = IdentityClient(
                self._world.route,
                pair,
                self._plan,
                self._world.mailbox,
                self._clock,
            )
            self._identity.start()
            self._check_claim(pair)  # while the handshake goes on
        return self._identity

    def _use_claim(self, identity: IdentityClient) -> None:
        if identity.is_open:
            return
        try:
            identity.wait_open()
        except AgentError as error:
            error.step = CLAIM_SESSION
            raise
        self._world.report.step(CLAIM_SESSION, self._world.route.host)

    def _close_claim(self) -> None:
        if self._identity is not None:
            self._identity.close()
            self._identity = None

    def _check_claim(self, pair: KeyPair) -> None:
        """Look at the claim's dates, and whether its two files belong together.

        Raises:
            UnreachableError: The clock stands before the claim's first day: wait.
            DeviceError: The claim has expired, is damaged, or its key is another's.
        """
        keys.check_pair(pair)
        dates = keys.validity(pair.certificate, pair.certificate_file)
        self._clock_is_wrong_before = dates.not_before
        now = self._clock.wall()
        if now < dates.not_before:
            raise self._clock_error()
        if now > dates.not_after and not clock.is_still_unset(now):
            raise DeviceError(
                f"The claim in {pair.certificate_file} expired on {clock.text(dates.not_after)}.",
                remedy="Put a new one in its place: fleet-cloud claim new (a temporary claim lives five minutes).",
                code="claim-expired",
            )

    # Waiting ----------------------------------------------------------------------------------------------------------

    def _count_try(self, found: Generation) -> Generation:
        """Before a request that can mint a certificate: the count and the wait outlive a crash from here on."""
        if self._is_first_try:
            self._is_first_try = False  # counted when the attempt was opened
            return found
        tries = found.attempt.tries + 1
        span = backoff.delay(Patience.BUSY, tries - 1, self._world.jitter())
        attempt = dataclasses.replace(
            found.attempt, tries=tries, not_before=self._clock.wall() + span
        )
        return self._store.keep_attempt(found, attempt)

    def _await_turn(self, found: Generation) -> None:
        """Wait until the attempt's "not before"; a clock that stepped back must not make that years."""
        left = min(found.attempt.not_before - self._clock.wall(), Patience.BUSY.ceiling)
        if left > 0:
            self._world.report.waiting("the last try was a moment ago", left)
            self._world.mailbox.sleep(left)

    def _await_clock(self) -> None:
        """Wait until the clock can be believed: certificates cannot be judged before, on either side."""
        while self._is_clock_wrong():
            error = self._held_up(self._clock_error())
            self._world.report.waiting(error.title, CLOCK_POLL)
            self._world.mailbox.sleep(CLOCK_POLL)
        if not self._was_clock_told:
            self._was_clock_told = True
            self._world.report.step("clock", clock.text(self._clock.wall()))

    def _is_clock_wrong(self) -> bool:
        now = self._clock.wall()
        return now < self._clock_is_wrong_before or clock.is_still_unset(now)

    def _clock_error(self) -> UnreachableError:
        first = max(self._clock_is_wrong_before, clock.BUILT)
        return UnreachableError(
            f"Waiting for the clock: it says {clock.text(self._clock.wall())}, which cannot be right before "
            f"{clock.text(first)} and before it is synchronised.",
            remedy="Set the clock (timedatectl set-ntp true); it goes on by itself then.",
            code="clock",
        )

    def _tell_waiting(self, error: AgentError, seconds: float) -> None:
        """A step goes on, and would be done by now but for this."""
        if self._last_error is None:  # once, not with every try
            self._world.report.waiting(error.title, seconds)
        self._held_up(error)

    def _wait(self, verdict: Verdict) -> None:
        """Let the verdict's time pass, or raise its error when waiting is not for us."""
        patience = verdict.patience
        if patience is None:
            raise verdict.error
        if patience is Patience.REFUSED and not self._world.outlasts_refusal:
            raise verdict.error
        self._failures += 1
        self._held_up(verdict.error)
        seconds = backoff.delay(patience, self._failures, self._world.jitter())
        self._world.report.waiting(verdict.error.title, seconds)
        self._world.mailbox.sleep(seconds)
