"""Carries out what ``machine`` decided, with AWS's provisioning API, the store and the clock; nothing else acts.

``Runner.provision`` is the whole walk. It returns its result or raises what stopped it; either way, every fact learned
so far is on disk, and the next call goes on from there.
"""

import dataclasses
from typing import assert_never

from fleet_agent import clock
from fleet_agent.credentials import keys
from fleet_agent.credentials.model import (
    Attempt,
    Credential,
    Event,
    Generation,
    Issued,
    Registration,
)
from fleet_agent.errors import (
    DATES,
    STATE_DAMAGED,
    AgentError,
    DeviceError,
    StateDirectoryError,
    UnreachableError,
)
from fleet_agent.process import log
from fleet_agent.process.mailbox import TimeUp
from fleet_agent.provisioning import answers, machine
from fleet_agent.provisioning.adoption import Adoption
from fleet_agent.provisioning.answers import Certificate, UnusableAnswerError
from fleet_agent.provisioning.claim import ClaimSession
from fleet_agent.provisioning.clockwatch import ClockWatch
from fleet_agent.provisioning.dependencies import Api, Dependencies
from fleet_agent.provisioning.device_key import DeviceKey
from fleet_agent.provisioning.model import Plan, RejectedError, Step, Verdict
from fleet_agent.provisioning.report import Milestone
from fleet_agent.provisioning.waits import Waits
from fleet_agent.record import record
from fleet_agent.session.mqtt import Session


@record
class Provisioned:
    """The result of the walk; ``session`` is the open one that proved the credential, and belongs to the caller.

    None: nothing was proven (the key is elsewhere), or an earlier run had proven it.
    """

    credential: Credential
    session: Session | None


class Runner:
    """One attempt at ``plan``, resumed from what is on disk."""

    def __init__(self, plan: Plan, needs: Dependencies) -> None:
        self._plan = plan
        self._needs = needs
        self._store = needs.store
        self._clock = needs.clock
        self._key = DeviceKey(plan, needs.store, needs.call)
        self._hash: str | None = None
        self._session: Session | None = None  # the one that proved the credential
        # This process opened the attempt and has not asked for a certificate yet.
        self._is_first_try = False
        self._given_up: Attempt | None = None  # given up for the one to be opened
        self._watch = ClockWatch(needs.clock)
        self._waits = Waits(needs, self._watch)
        self._claim = ClaimSession(plan.endpoint, needs, self._watch)
        self._adoption = Adoption(plan.given, needs, self._watch) if plan.given else None

    def provision(self, *, restart: bool = False) -> Provisioned:
        """Walks to the end of provisioning.

        Args:
            restart: Drop an attempt under way and begin a new one.

        Raises:
            AgentError: What stopped it, with ``step`` set; past the mailbox's limit, the last cause of a wait.
            StopRequested: The agent is to end; the next call goes on.
        """
        found = self._resume(restart=restart)
        step = machine.next_step(found, self._plan)
        try:
            while step not in (Step.PROMOTE, Step.KEPT):
                found = self._try(step, found)
                step = machine.next_step(found, self._plan)
            if found is None:  # next_step says OPEN then
                raise AssertionError(step)
            return self._finish(step, found)
        except TimeUp:
            raise self._waits.out_of_time(step) from None
        finally:
            self._claim.close()
            self._close_session()

    def _finish(self, step: Step, found: Generation) -> Provisioned:
        if step is Step.KEPT:
            return Provisioned(credential=self._store.describe(found), session=None)
        self._set_log_context(step, found)
        credential = self._store.promote(found)
        self._needs.report.step(Milestone.CURRENT, self._store.folder(found.number).name)
        session, self._session = self._session, None
        return Provisioned(credential=credential, session=session)

    def _close_session(self) -> None:
        if self._session is not None:
            self._session.close()
            self._session = None

    def _resume(self, *, restart: bool) -> Generation | None:
        """The attempt to go on with; None to open one.

        Raises:
            DeviceError: The one under way has a certificate, and is for something else or damaged.
        """
        try:
            found = self._store.pending()
        except StateDirectoryError:
            if restart:
                return None
            raise
        if found is None:
            return None
        error = machine.difference(found.attempt, self._plan)
        if machine.is_factory_key(found, self._plan):
            if error is None:
                return found
            attempt = self._plan.attempt(self._clock.wall(), self._parameters_hash())
            attempt = dataclasses.replace(attempt, tries=0)
            return self._store.keep_attempt(found, attempt)
        is_worthless = found.issued is None or found.attempt.origin == "adopted"
        if restart or (error is not None and is_worthless):  # nothing that could be lost
            self._given_up = found.attempt
            return None
        if error is None and (error := machine.other_thing(found, self._needs.in_use)):
            self._store.give_up(found)
        if error := error or machine.damage(found):
            raise error
        return found

    def _try(self, step: Step, found: Generation | None) -> Generation | None:
        self._set_log_context(step, found)
        try:
            after = self._do(step, found)
        except (RejectedError, AgentError) as failure:
            self._claim.close()  # so that no late answer can be taken for the next one
            self._close_session()
            if found is not None:
                found = self._store.pending()  # the step may have kept something before it failed
            verdict = self._judge(failure, step, found)
            verdict.error.step = verdict.error.step or step.value
            if verdict.drop_certificate and found is not None:
                found = self._store.drop_certificate(found)
            self._waits.after(verdict)
            return found
        self._waits.over()
        return after

    def _set_log_context(self, step: Step, found: Generation | None) -> None:
        log.about(
            step=step.value,
            attempt=found.number if found else None,
            tries=found.attempt.tries if found else None,
            certificate_id=found.issued.certificate_id if found and found.issued else None,
        )

    def _judge(
        self, failure: RejectedError | AgentError, step: Step, found: Generation | None
    ) -> Verdict:
        refused_for = self._waits.refused_for(failure)
        if isinstance(failure, AgentError) and failure.code == DATES and self._watch.is_doubtful:
            self._watch.suspect()
            failure = self._watch.error()
        ownership_token_age = (
            self._ownership_token_age(found.issued) if found and found.issued else 0.0
        )
        if self._adoption is None or isinstance(failure, RejectedError):
            return machine.judge(failure, step, refused_for, ownership_token_age)
        failure = self._adoption.explain(failure, refused_for)
        return machine.judge(failure, step, refused_for, spreading=self._adoption.patience)

    def _ownership_token_age(self, issued: Issued) -> float:
        """Seconds; by the clock that never steps, within the boot in which the ownership token came."""
        return clock.passed(issued.received, issued.uptime, self._clock)

    def _do(self, step: Step, found: Generation | None) -> Generation:
        if self._adoption is not None:
            self._waits.for_clock()
            self._adoption.check()
            if found is not None and step is not Step.PROVE:
                return self._adoption.take(step, found)
        if found is None:
            return self._open()
        match step:
            case Step.KEY:
                return self._make_key(found)
            case Step.ISSUE:
                return self._issue(found)
            case Step.REGISTER:
                return self._register(found)
            case Step.PROVE:
                return self._prove(found)
            case Step.OPEN | Step.PROMOTE | Step.KEPT:
                # No other step of an attempt under way can fail and be tried again.
                raise AssertionError(step)
            case _:
                assert_never(step)

    # Steps ----------------------------------------------------------------------------------------------------------

    def _open(self) -> Generation:
        if self._adoption is None:
            self._open_claim()
        attempt = self._plan.attempt(self._clock.wall(), self._parameters_hash())
        if self._given_up is not None:
            attempt = machine.carry_over(attempt, self._given_up)
        self._is_first_try = self._given_up is None
        return self._store.open(attempt)

    def _parameters_hash(self) -> str:
        """SHA-256 (hex) of the template parameters; asked for while the claim's handshake goes on."""
        if self._hash is None:
            self._hash = self._needs.call(keys.hash_parameters, self._plan.parameters)
        return self._hash

    def _make_key(self, found: Generation) -> Generation:
        if found.issued is None:
            self._open_claim(found)  # the handshake goes on while the key is made
        return self._key.make(found)

    def _issue(self, found: Generation) -> Generation:
        api = self._open_claim(found)
        csr = self._key.csr(found)
        self._claim.use()
        found = self._count_try(found)
        try:
            with self._needs.asking():
                answer = api.create_certificate(csr.pem if csr else None)
            certificate = self._needs.call(answers.checked, answer, csr)
        except UnusableAnswerError as error:
            if error.certificate_id is not None:
                self._record_foreign(error.certificate_id, found)
            raise
        self._needs.report.step(Milestone.CERTIFICATE, answer.certificate_id[:12] + "…")
        if certificate is None:
            raise self._foreign_certificate(found, answer)
        issued = Issued(
            certificate_id=certificate.certificate_id,
            ownership_token=certificate.ownership_token,
            received=self._clock.wall(),
            uptime=clock.uptime(self._clock),
        )
        found = self._store.keep_certificate(
            found, issued, certificate.pem, certificate.private_key
        )
        self._needs.report.step(Milestone.STORED, self._store.folder(found.number).name)
        return found

    def _count_try(self, found: Generation) -> Generation:
        """Records a try before a request that can mint a certificate: count and wait outlive a crash from here on."""
        if self._is_first_try:
            self._is_first_try = False  # counted when the attempt was opened
            return found
        attempt = machine.next_try(found.attempt, self._clock.wall(), self._needs.jitter())
        return self._store.keep_attempt(found, attempt)

    def _foreign_certificate(
        self, found: Generation, certificate: Certificate
    ) -> UnreachableError:
        """The error of a certificate for another key: it is recorded and never used."""
        self._record_foreign(certificate.certificate_id, found)
        return UnreachableError(
            f"AWS IoT answered with certificate {certificate.certificate_id}, which is not for this device's key.",
            remedy="It is not used; the agent requests a new one over a new connection.",
            code="certificate-foreign",
        )

    def _record_foreign(self, certificate_id: str, found: Generation) -> None:
        now = self._clock.wall()
        self._store.ledger.record(certificate_id, Event.FOREIGN, found.number, now)

    def _register(self, found: Generation) -> Generation:
        api = self._open_claim(found)
        self._claim.use()
        ownership_token = found.issued.ownership_token if found.issued else None
        if ownership_token is None:
            raise DeviceError(
                f"Generation {found.number} has a certificate but no ownership token.",
                remedy="Discard the attempt and start over: fleet-agent provision --restart",
                code=STATE_DAMAGED,
            )
        if found.attempt.parameters_hash != self._parameters_hash():
            attempt = dataclasses.replace(found.attempt, parameters_hash=self._parameters_hash())
            found = self._store.keep_attempt(found, attempt)
        thing_name, configuration = api.register_thing(ownership_token, self._plan.parameters)
        registration = Registration(thing_name=thing_name, device_configuration=configuration)
        registered = dataclasses.replace(found, registration=registration)
        if error := machine.other_thing(registered, self._needs.in_use):
            self._store.give_up(self._store.keep_registration(found, registration))
            raise error
        answers.check_topics(
            self._store.describe(registered), self._needs.topics, self._plan.parameters.get
        )
        found = self._store.keep_registration(found, registration)
        self._needs.report.step(Milestone.REGISTERED, thing_name or "no thing")
        self._claim.close()
        return found

    def _prove(self, found: Generation) -> Generation:
        self._waits.for_clock()
        if self._needs.pause > 0:
            self._needs.sleep(self._needs.pause)
        credential = self._store.describe(found)
        pair = self._store.key_pair(found.number)
        proven = self._needs.prove(credential, pair, self._waits.report)
        self._session = proven.session
        if proven.refused is not None:
            self._needs.report.problem(proven.refused)
        found = self._store.mark_proven(found, proven.how)
        self._needs.report.step(Milestone.PROVEN, proven.how)
        return found

    def _open_claim(self, found: Generation | None = None) -> Api:
        """The claim session, begun if there is none; it may still be connecting."""
        if self._claim.api is not None:
            return self._claim.api
        self._waits.for_clock()
        if found is not None and found.issued is None:
            self._waits.for_turn(found.attempt)
        return self._claim.begin()
