"""What ``provision`` does, and ``run`` before anything else: a walk with the real things.

Imports that cost (the SDK, cryptography) stand in the functions that need them: ``status`` and an already provisioned
``provision`` touch neither.
"""

import contextlib
import dataclasses
import logging
import os
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from fleet_agent import filesystem, statedir
from fleet_agent.clock import SystemClock, jitter
from fleet_agent.config import token_uri
from fleet_agent.config.paths import resolve_path
from fleet_agent.config.settings import Claim, Provisioning, Settings
from fleet_agent.credentials.folders import CURRENT
from fleet_agent.credentials.model import (
    Credential,
    Csr,
    KeyPair,
    PrivateKey,
    Secret,
)
from fleet_agent.credentials.pair import read_pair, read_text
from fleet_agent.credentials.store import Store
from fleet_agent.errors import AgentError, DeviceError, StateDirectoryError, UsageError
from fleet_agent.identity import clone
from fleet_agent.identity.hardware import hardware_key, hardware_tokens, own_token
from fleet_agent.mailbox import Mailbox
from fleet_agent.programs.aside import Aside
from fleet_agent.provisioning.report import Report
from fleet_agent.session.route import route

if TYPE_CHECKING:
    from fleet_agent.provisioning.model import Plan
    from fleet_agent.provisioning.runner import Provisioned

_log = logging.getLogger(__name__)

T = TypeVar("T")

CONNECT_INTERVAL = 1.0  # seconds between connects of one client id, AWS's limit


@dataclasses.dataclass(frozen=True, kw_only=True)
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
    any_owner: bool = False


@dataclasses.dataclass(frozen=True, kw_only=True)
class Result:
    """What ``provision`` leaves: the credential, and whether it was there before."""

    credential: Credential
    was_there: bool


def open_store(settings: Settings) -> Store:
    """The credential store of the settings' state directory."""
    return Store(Path(settings.state_dir), SystemClock(), *hardware_tokens(settings))


def provision(settings: Settings, request: Request, report: Report) -> Result:
    """Give this device an identity, or find that it has one.

    Raises:
        AgentError: What stopped it.
        StopRequested: It was interrupted; asked again, it goes on.
    """
    statedir.become_owner(Path(settings.state_dir))
    store = open_store(settings)
    if not request.force and (found := store.current()):
        _refuse_half_wish(request, store)
        _update_ledger(Path(settings.state_dir), store, found)
        if problem := clone.look(Path(settings.state_dir), found):
            _log.warning("%s %s", problem.title, problem.remedy)
        return Result(credential=stable(store, found), was_there=True)
    _take_state_by_hand(settings, allow_volatile=request.allow_volatile)
    # --force is also the way out of a damaged identity: it does not look at it.
    if not request.force and (found := store.current()):  # another agent provisioned meanwhile
        return Result(credential=stable(store, found), was_there=True)
    clock = SystemClock()
    mailbox = Mailbox(clock)
    mailbox.stop_on_signals()
    if request.timeout > 0:
        mailbox.limit(clock.monotonic() + request.timeout)
    done = walk(settings, request, report, store, mailbox)
    if done.session is not None:
        done.session.close()
    return Result(credential=stable(store, done.credential), was_there=False)


def _update_ledger(state_dir: Path, store: Store, found: Credential) -> None:
    """Say in the ledger what is in use, should the last walk have ended right after the swap."""
    if not store.is_recorded(found):
        with contextlib.suppress(
            AgentError
        ):  # ``run`` tells it too; who may only look has the answer all the same
            statedir.take_lock(state_dir)
            store.update_ledger()


def walk(
    settings: Settings,
    request: Request,
    report: Report,
    store: Store,
    mailbox: Mailbox,
    *,
    in_use: Credential | None = None,
) -> "Provisioned":
    """Walk through provisioning, from wherever the last attempt stopped.

    Args:
        settings: Where, and with which template and parameters.
        request: What the command line adds.
        report: Hears of the steps.
        store: Keeps what each step brings.
        mailbox: Where everything comes in.
        in_use: The identity to be replaced by one of the same thing; the settings say whether to ask with it, or with
            the claim.

    Raises:
        AgentError: What stopped it.
        StopRequested: It was interrupted.
    """
    # It starts while the SDK is imported.
    aside = Aside()
    aside.start()
    try:
        return _walk(settings, request, report, store, mailbox, aside=aside, in_use=in_use)
    finally:
        aside.close()


def _walk(  # noqa: PLR0913 - the walk's own, and the program beside it
    settings: Settings,
    request: Request,
    report: Report,
    store: Store,
    mailbox: Mailbox,
    *,
    aside: Aside,
    in_use: Credential | None,
) -> "Provisioned":
    from fleet_agent.identity import own_session, trial
    from fleet_agent.provisioning.aws import ProvisioningClient
    from fleet_agent.provisioning.dependencies import Dependencies
    from fleet_agent.provisioning.proof import Proof
    from fleet_agent.provisioning.runner import Runner

    filesystem.try_out(Path(settings.state_dir))
    own = in_use if settings.rotation.credential == "own" else None
    plan = _plan(settings, request, report, aside, is_first=in_use is None)
    claim = None
    if own is None and plan.given is None:
        claim = _needed(settings.claim, "claim")
    clock = SystemClock()
    way = route(settings)
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
        call=aside.call,
        sleep=mailbox.sleep,
        jitter=jitter,
        report=report,
        read_claim=lambda: (
            store.key_pair(own.generation)
            if own
            else read_claim(_needed(claim, "claim"), settings)
        ),
        make_api=lambda pair: ProvisioningClient(
            way, pair, plan, mailbox, clock, client_id=client_id
        ),
        prove=proof.prove,
        topics=trial.topics(settings),
        outlasts_refusal=request.outlasts_refusal,
        in_use=in_use,
        pause=CONNECT_INTERVAL if own else 0.0,
    )
    done = Runner(plan, needs).provision(restart=request.restart)
    if done.credential.is_proven:
        aside.call(clone.look, Path(settings.state_dir), done.credential)
    return done


def _plan(
    settings: Settings, request: Request, report: Report, aside: Aside, *, is_first: bool
) -> "Plan":
    """What is adopted, or asked for: by the settings, by flags, and by the device's own facts."""
    # --force without a pair is to be provisioned anew, whatever was adopted once.
    if settings.identity is not None and is_first and (request.pair or not request.force):
        from fleet_agent.identity import adopt

        pair = request.pair or adopt.read(settings.identity, settings)
        return adopt.plan(settings, settings.identity, pair, aside.call)
    return _plan_to_ask(
        settings, _needed(settings.provisioning, "provisioning"), request, report, aside
    )


def _plan_to_ask(
    settings: Settings, wanted: Provisioning, request: Request, report: Report, aside: Aside
) -> "Plan":
    from fleet_agent import device
    from fleet_agent.credentials import keys
    from fleet_agent.provisioning.model import Plan

    parameters = device.resolve(wanted.parameters)
    for warning in (text for item in parameters for text in item.warnings):
        _log.warning("%s", warning)
    report.step("parameters", ", ".join(f"{item.name}={item.value}" for item in parameters))
    csr, csr_key = _given_csr(request, settings)
    values = {item.name: item.value for item in parameters}
    return Plan(
        endpoint=settings.endpoint,
        template=wanted.template,
        method="csr" if csr else wanted.method,
        key_type=wanted.key.type,
        parameters=values,
        parameters_hash=aside.call(keys.hash_parameters, values),
        csr=csr,
        csr_key=csr_key,
        token=own_token(settings),
        label=wanted.key.label,
    )


def _needed(section: T | None, name: str) -> T:
    if section is None:
        raise DeviceError(
            f"This device is to get an identity, and the configuration has no section `{name}`.",
            remedy="Add it (docs/reference/configuration.md), or give --cert, --key and --template-name; one that has "
            "a certificate already: fleet-agent adopt --cert FILE --key FILE",
            code="configuration",
        )
    return section


def read_claim(claim: Claim, settings: Settings) -> KeyPair:
    """The claim's certificate and key.

    Raises:
        DeviceError: A file of them cannot be read.
    """
    certificate = resolve_path(claim.certificate, os.environ)
    if token_uri.is_one(claim.private_key):
        return read_pair(certificate, hardware_key(claim.private_key, settings))
    return read_pair(certificate, resolve_path(claim.private_key, os.environ))


def _given_csr(request: Request, settings: Settings) -> tuple[Csr | None, PrivateKey | None]:
    """The CSR of ``--csr``, checked, and its key when ``--csr-key`` gives it."""
    if request.csr_file is None:
        if request.csr_key_file is not None:
            raise UsageError(
                "--csr-key is the key of a CSR.", remedy="Give that with --csr FILE.", code="usage"
            )
        return None, None
    from fleet_agent.credentials import keys, pem_file

    csr = keys.read_csr(read_text(Path(request.csr_file), "the CSR"), request.csr_file)
    if request.csr_key_file is None:
        return csr, None
    key: PrivateKey
    if token_uri.is_one(request.csr_key_file):
        key = hardware_key(request.csr_key_file, settings)
    else:
        data = read_text(Path(request.csr_key_file), "the CSR's private key")
        key = Secret(pem_file.private_key(data, request.csr_key_file))
    if keys.public_key_of_key(key, request.csr_key_file) != csr.public_key:
        raise DeviceError(
            f"The key in {request.csr_key_file} is not that of the CSR in {request.csr_file}.",
            remedy="Give the two that were made together.",
            code="key-mismatch",
        )
    return csr, key


def stable(store: Store, credential: Credential) -> Credential:
    """The current credential under the path that stays: through the link ``current``."""
    if not credential.is_proven:
        return credential
    folder = store.folder(credential.generation)
    current = folder.with_name(CURRENT)
    files_of = {
        field: str(current / Path(path).name)
        for field, path in (
            ("certificate_file", credential.certificate_file),
            ("private_key_file", credential.private_key_file),
        )
        if path is not None and not token_uri.is_one(path)
    }
    return dataclasses.replace(credential, **files_of)  # type: ignore[arg-type]


def _refuse_half_wish(request: Request, store: Store) -> None:
    if request.restart and store.pending() is not None:
        raise UsageError(
            "This device is provisioned; the attempt under way is one to provision it anew.",
            remedy="Drop it and begin another: fleet-agent provision --force --restart",
            code="usage",
        )


def _take_state_by_hand(settings: Settings, *, allow_volatile: bool) -> statedir.Lock:
    """As ``take_state``, but a volatile place is only a warning: somebody chose it, and reads this."""
    try:
        return take_state(settings, allow_volatile=allow_volatile)
    except StateDirectoryError as error:
        if error.code != statedir.VOLATILE:
            raise
        _log.warning("%s `fleet-agent run` refuses it.", error.title)
    return statedir.take_lock(Path(settings.state_dir))


def take_state(settings: Settings, *, allow_volatile: bool) -> statedir.Lock:
    """Everything before the first write, and before any key: no core dumps, a persistent place, and ours alone."""
    _keep_out_of_core_dumps()
    state_dir = Path(settings.state_dir)
    if not allow_volatile and (warning := statedir.refuse_volatile(state_dir)):
        statedir.refuse_doubtful(state_dir, warning)
        _log.warning("%s", warning)
    return statedir.take_lock(state_dir)


def _keep_out_of_core_dumps() -> None:
    """A process that holds private keys leaves no image of its memory behind, however it is started."""
    import resource

    with contextlib.suppress(OSError, ValueError):  # a sandbox that forbids it has its own limit
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
