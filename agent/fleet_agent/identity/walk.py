"""A walk through provisioning with the real things: what a new identity is asked for with, whoever asks."""

import contextlib
import dataclasses
import logging
import os
from pathlib import Path
from typing import TYPE_CHECKING

from fleet_agent.clock import SystemClock, jitter
from fleet_agent.config import pkcs11_uri
from fleet_agent.config.paths import reserved
from fleet_agent.config.provisioning import Provisioning
from fleet_agent.config.settings import Settings
from fleet_agent.config.topics import topic_templates
from fleet_agent.credentials import keys
from fleet_agent.credentials.model import (
    Credential,
    Csr,
    Home,
    KeyPair,
    PrivateKey,
    Secret,
)
from fleet_agent.credentials.pair import read_text
from fleet_agent.credentials.store import Store
from fleet_agent.errors import AgentError, DeviceError, UsageError
from fleet_agent.identity import clone
from fleet_agent.identity.configured import (
    hardware_key,
    hardware_token,
    read_claim,
    require_section,
)
from fleet_agent.process.mailbox import Mailbox
from fleet_agent.programs.worker import Worker
from fleet_agent.provisioning.report import Milestone, Report
from fleet_agent.record import record
from fleet_agent.session.backoff import CONNECT_INTERVAL
from fleet_agent.session.route import route
from fleet_agent.statedir import filesystem

if TYPE_CHECKING:
    from collections.abc import Callable

    from fleet_agent.provisioning.dependencies import Asking
    from fleet_agent.provisioning.model import Plan
    from fleet_agent.provisioning.runner import Provisioned, Runner

_log = logging.getLogger(__name__)


@record
class Request:
    """What ``provision`` is asked for beside the settings; ``timeout`` in seconds, 0 for ever.

    ``pair``: adopt this certificate and key, those of the settings' ``identity``, read already.
    """

    csr_file: str | None = None
    csr_key_file: str | None = None
    pair: KeyPair | None = None
    force: bool = False
    restart: bool = False
    allow_volatile: bool = False
    timeout: float = 120.0
    outlasts_refusal: bool = False


@record
class Recovery:
    """The replacement of a dead identity: requested by the claim, however rotations are requested.

    Args:
        key_of: The generation whose key is asked with; None: a key of its own.
        method: As an attempt has it.
        asking: Surrounds each request for a certificate, and limits them.
    """

    key_of: int | None
    method: str
    asking: "Asking"


def walk(  # noqa: PLR0913 - what a walk is carried out with
    settings: Settings,
    request: Request,
    report: Report,
    store: Store,
    mailbox: Mailbox,
    *,
    in_use: Credential | None = None,
    home: Home | None = None,
    worker: Worker | None = None,
    recovery: Recovery | None = None,
) -> "Provisioned":
    """Walks through provisioning, from wherever the last attempt stopped.

    Args:
        settings: Where, and with which template and parameters.
        request: What the command line adds.
        report: Receives the steps.
        store: Keeps what each step brings.
        mailbox: Where everything comes in.
        in_use: The identity to be replaced by one of the same thing; the settings say whether to ask with it, or with
            the claim.
        home: Where that is, if the device was moved, or is to be.
        worker: Calls what needs cryptography; closed at the end. None: one is started.
        recovery: The identity in use is dead.

    Raises:
        AgentError: What stopped it.
        StopRequested: It was interrupted.
    """
    worker = worker or Worker()
    with contextlib.closing(worker):
        # While the SDK is imported here.
        worker.ask(keys.load)
        worker.ask(clone.load)
        filesystem.try_out(Path(settings.state_dir))
        own = None
        if settings.rotation.credential == "own" and recovery is None:
            own = in_use
        if in_use is None and _adopts(settings, request):
            plan = _plan_to_adopt(settings, request, worker)
        else:
            wanted = require_section(settings.provisioning, "provisioning")
            if own is None:
                require_section(settings.claim, "claim")
            plan = _plan(settings, wanted, request, report, home)
            if recovery is not None:
                key_of, method = recovery.key_of, recovery.method
                plan = dataclasses.replace(plan, key_of=key_of, method=method)
        runner = _runner(
            settings,
            request,
            plan,
            report=report,
            store=store,
            mailbox=mailbox,
            worker=worker,
            own=own,
            in_use=in_use,
            asking=recovery.asking if recovery else contextlib.nullcontext,
        )
        done = runner.provision(restart=request.restart)
        if done.credential.is_proven:
            worker.call(clone.look, Path(settings.state_dir), done.credential)
        return done


def by_hand(act: "Callable[[Mailbox], Provisioned]", timeout: float) -> Credential:
    """Carries a walk out for a command: until a signal, or for so many seconds (0: no limit); no session stays open.

    Raises:
        AgentError: What stopped it.
        StopRequested: It was interrupted.
    """
    clock = SystemClock()
    mailbox = Mailbox(clock)
    mailbox.stop_on_signals()
    if timeout > 0:
        mailbox.limit(clock.monotonic() + timeout)
    done = act(mailbox)
    if done.session is not None:
        done.session.close()
    return done.credential


def within(
    limit: float, act: "Callable[[Mailbox], Provisioned]", mailbox: Mailbox, failure: str
) -> "Provisioned | AgentError":
    """Carries a walk out in the daemon, within so many seconds; what stopped it is a value, since the daemon goes on.

    Args:
        limit: Seconds.
        act: Walks.
        mailbox: Where everything comes in.
        failure: What is logged where it stops.

    Raises:
        StopRequested: The agent is to end.
    """
    mailbox.limit(SystemClock().monotonic() + limit)
    try:
        return act(mailbox)
    except AgentError as error:
        _log.warning("%s: %s %s", failure, error.title, error.remedy)
        return error
    finally:
        mailbox.limit(None)


def _runner(  # noqa: PLR0913 - what a walk is carried out with, all of it
    settings: Settings,
    request: Request,
    plan: "Plan",
    *,
    report: Report,
    store: Store,
    mailbox: Mailbox,
    worker: Worker,
    own: Credential | None,
    in_use: Credential | None,
    asking: "Asking",
) -> "Runner":
    from fleet_agent.identity import own_session, trial
    from fleet_agent.provisioning.aws import ProvisioningClient
    from fleet_agent.provisioning.dependencies import Dependencies
    from fleet_agent.provisioning.proof import Proof
    from fleet_agent.provisioning.runner import Runner

    clock = SystemClock()
    where_to = route(settings)
    proof = Proof(
        lambda found, pair: own_session.open_session(settings, found, pair, mailbox),
        mailbox,
        clock,
        trial.trial(settings, clock),
        plan.parameters.get,
    )
    client_id = own.client_id if own else None
    needs = Dependencies(
        store=store,
        clock=clock,
        call=worker.call,
        sleep=mailbox.sleep,
        jitter=jitter,
        report=report,
        read_pair=lambda: _asking_pair(settings, store, own),
        make_api=lambda pair: ProvisioningClient(
            where_to, pair, plan, mailbox, clock, client_id=client_id
        ),
        prove=proof.prove,
        topics=topic_templates(settings),
        outlasts_refusal=request.outlasts_refusal,
        in_use=in_use,
        pause=CONNECT_INTERVAL if own else 0.0,
        asking=asking,
    )
    return Runner(plan, needs)


def _asking_pair(settings: Settings, store: Store, own: Credential | None) -> KeyPair:
    """Returns the pair to ask AWS with: the device's own credential, or the claim."""
    if own is not None:
        return store.key_pair(own.generation)
    return read_claim(require_section(settings.claim, "claim"), settings)


def _adopts(settings: Settings, request: Request) -> bool:
    """Whether a first identity is the given one; --force without a pair is to be provisioned again, by the claim."""
    return settings.identity.pair is not None and (request.pair is not None or not request.force)


def _plan_to_adopt(settings: Settings, request: Request, worker: Worker) -> "Plan":
    from fleet_agent.identity import adopt

    pair = request.pair or adopt.read(settings)
    return adopt.plan(settings, pair, worker.call)


def _plan(
    settings: Settings,
    wanted: Provisioning,
    request: Request,
    report: Report,
    home: Home | None,
) -> "Plan":
    """Returns the plan, from settings, flags and the device's own facts."""
    from fleet_agent import device
    from fleet_agent.provisioning.model import Plan

    parameters = device.resolve(wanted.parameters, reserved=reserved(settings, os.environ))
    for warning in (text for item in parameters for text in item.warnings):
        _log.warning("%s", warning)
    report.step(
        Milestone.PARAMETERS, ", ".join(f"{item.name}={item.value}" for item in parameters)
    )
    csr, csr_key = _given_csr(request, settings)
    values = {item.name: item.value for item in parameters}
    return Plan(
        endpoint=settings.endpoint,
        template=wanted.template,
        method="csr" if csr else wanted.method,
        key_type=wanted.key.type,
        parameters=values,
        csr=csr,
        csr_key=csr_key,
        hardware_token=hardware_token(settings),
        label=wanted.key.label,
        home=home,
    )


def key_plan(settings: Settings) -> "Plan":
    """Returns the plan for the key alone: the device's facts may not be known yet."""
    from fleet_agent.provisioning.model import Plan

    wanted = require_section(settings.provisioning, "provisioning")
    return Plan(
        endpoint=settings.endpoint,
        template=wanted.template,
        method=wanted.method,
        key_type=wanted.key.type,
        parameters={},
        hardware_token=hardware_token(settings),
        label=wanted.key.label,
    )


def _given_csr(request: Request, settings: Settings) -> tuple[Csr | None, PrivateKey | None]:
    """The CSR of ``--csr``, checked, and its key when ``--csr-key`` gives it."""
    if request.csr_file is None:
        if request.csr_key_file is not None:
            raise UsageError(
                "--csr-key is the key of a CSR, and there is no --csr.",
                remedy="Pass the CSR with --csr FILE.",
                code="usage",
            )
        return None, None
    from fleet_agent.credentials import keys, pem_file

    csr = keys.read_csr(read_text(Path(request.csr_file), "the CSR"), request.csr_file)
    if request.csr_key_file is None:
        return csr, None
    key: PrivateKey
    if pkcs11_uri.is_uri(request.csr_key_file):
        key = hardware_key(request.csr_key_file, settings)
    else:
        data = read_text(Path(request.csr_key_file), "the CSR's private key")
        key = Secret(pem_file.private_key(data, request.csr_key_file))
    if keys.public_key_of_key(key, request.csr_key_file) != csr.public_key:
        raise DeviceError(
            f"The key in {request.csr_key_file} does not belong to the CSR in {request.csr_file}.",
            remedy="Pass a CSR and a key that were made together.",
            code="key-mismatch",
        )
    return csr, key
