"""The provisioning walk, decided. Pure: facts on disk → next step; outcome → what to do about it.

Two rules hold it together. First, there is no state but what the store found in the pending generation, so that a
restart, a retry and a first run are the same code. Second, nothing that cannot be repeated is asked for before what it
needs is on disk, and a certificate that may be live is never replaced before the ledger has named it.

    nothing ──OPEN──▶ attempt ──KEY──▶ key ──ISSUE──▶ certificate + ownership token ──REGISTER──▶ registration
                                        ▲                         │                                 │
                                        └─ownership token refused─┘            PROVE (a real session)▼
                                          (ledger: unresolved)             proven ──PROMOTE──▶ current

An adopted certificate takes the same walk: key, certificate and thing name are given, and nothing is asked for.

With ``--csr`` and no key the walk ends at the registration (``KEPT``): it cannot be proven here.
"""

import dataclasses

from fleet_agent.credentials.model import Attempt, Credential, Generation
from fleet_agent.errors import (
    ANSWER_UNFIT,
    ATTEMPT_DIFFERS,
    CERTIFICATE_EXPIRED,
    CLAIM_EXPIRED,
    CONNECT_UNANSWERED,
    CSR_REFUSED,
    PAIR_UNUSABLE,
    PROVISIONING_REFUSED,
    PROXY_PASSWORD,
    SERVER_UNTRUSTED,
    STATE_DAMAGED,
    THING_CHANGED,
    AgentError,
    DeviceError,
    NotApprovedError,
    RefusedError,
    StateDirectoryError,
    TemporaryError,
)
from fleet_agent.provisioning.model import (
    Operation,
    Plan,
    RejectedError,
    Step,
    Verdict,
)
from fleet_agent.session import backoff
from fleet_agent.session.backoff import Patience

_TOO_MANY_REQUESTS = 429
# The error code where the hook raised, or was too slow: no denial (what the status is then, AWS does not document).
_HOOK_FAILED = "InvocationError"
_SERVER_ERRORS = 500
_BAD_REQUEST = 400
_FORBIDDEN = 403
_NOT_FOUND = 404


def next_step(found: Generation | None, plan: Plan) -> Step:
    """Returns the next step for the pending generation."""
    if found is None:
        return Step.OPEN
    if not found.has_key and plan.provides_key:
        return Step.KEY
    if found.issued is None:
        return Step.ISSUE
    if found.registration is None:
        return Step.REGISTER
    if not found.has_key:
        return Step.KEPT
    return Step.PROVE if found.proven is None else Step.PROMOTE


def difference(attempt: Attempt, plan: Plan) -> AgentError | None:
    """Returns how an unfinished attempt differs from what is wanted now; None if it does not.

    Other template parameters are no difference: they are sent with the next RegisterThing.
    """
    csr_hash = plan.csr.hash if plan.csr else None
    given = plan.given.certificate_id if plan.given else None
    pairs = (
        ("origin", attempt.origin, plan.origin),
        ("certificate", attempt.certificate_id, given),
        ("template", attempt.template, plan.template),
        ("endpoint", attempt.endpoint, plan.endpoint),
        ("method", attempt.method, plan.method),
        ("CSR", _csr_words(attempt.csr_hash), _csr_words(csr_hash)),
        ("key", _key_words(attempt.key_of), _key_words(plan.key_of)),
    )
    for word, was, wanted in pairs:
        if was != wanted:
            return DeviceError(
                f"There is an unfinished attempt with {word} {was}, but this one has {word} {wanted}.",
                remedy="Run it with the same settings to finish it, or discard it: fleet-agent provision --restart",
                code=ATTEMPT_DIFFERS,
            )
    return None


def other_thing(found: Generation, in_use: Credential | None) -> AgentError | None:
    """Returns the error if a registration names another thing than the identity that it replaces; else None.

    A parameter's source may say something else by now, such as another board's serial number. What is in use stays.

    Args:
        found: The attempt.
        in_use: The identity to be replaced by one of the same thing; None where any is right.
    """
    if found.registration is None or in_use is None:
        return None
    wanted, given = in_use.thing_name, found.registration.thing_name
    if wanted == given:
        return None
    certificate_id = found.issued.certificate_id if found.issued else "of this attempt"
    return DeviceError(
        f"The new certificate {certificate_id} is for {_thing(given)}, but this device is {_thing(wanted)}: "
        "it is not used.",
        remedy="Check the template's parameters: fleet-agent parameters. Deactivate that certificate in the "
        "cloud. To become the other thing on purpose: fleet-agent provision --force",
        code=THING_CHANGED,
    )


def _thing(name: str | None) -> str:
    return f"the thing {name}" if name else "no thing"


def _csr_words(csr_hash: str | None) -> str:
    return f"{csr_hash[:12]}… (SHA-256)" if csr_hash else "made on the device"


def _key_words(key_of: int | None) -> str:
    return f"of generation {key_of}" if key_of else "of its own"


def is_factory_key(found: Generation, plan: Plan) -> bool:
    """Whether an attempt is only a key made in the factory; it is used whatever is asked for now.

    The cloud may expect this key and no other.
    """
    own = found.has_key and found.attempt.csr_hash is None and not (plan.csr or plan.given)
    return own and found.attempt.tries == 0 and found.issued is None and plan.provides_key


def damage(found: Generation) -> AgentError | None:
    """Returns why an attempt can no longer be finished; None if it can.

    A certificate whose key was made for it here (or by AWS) is worth nothing without it: a new key does not fit.
    """
    if found.issued is None or found.has_key or found.attempt.csr_hash is not None:
        return None
    return DeviceError(
        f"Generation {found.number} has a certificate, but its private key is gone.",
        remedy="Discard the attempt and start over: fleet-agent provision --restart",
        code=STATE_DAMAGED,
    )


def next_try(attempt: Attempt, now: float, jitter: float) -> Attempt:
    """The attempt before another request that can mint a certificate: its count and its wait outlive a crash.

    Args:
        attempt: As it was before the last try.
        now: Unix seconds.
        jitter: In [0, 1).
    """
    span = backoff.delay(Patience.BUSY, attempt.tries, jitter)
    return dataclasses.replace(attempt, tries=attempt.tries + 1, not_before=now + span)


def carry_over(attempt: Attempt, given_up: Attempt) -> Attempt:
    """An attempt in place of one given up, whose count and wait it keeps: to begin again is no way to ask faster.

    At another endpoint nothing was asked before.
    """
    if given_up.endpoint != attempt.endpoint:
        return attempt
    return dataclasses.replace(attempt, tries=given_up.tries, not_before=given_up.not_before)


def seconds_left(attempt: Attempt, now: float) -> float:
    """Seconds until the attempt's "not before", 0 or less when it is past.

    A clock that stepped back must not make that years.
    """
    return min(attempt.not_before - now, Patience.BUSY.ceiling)


# An ownership token lives one hour; after that no answer but an approval to come is worth waiting for with it.
OWNERSHIP_TOKEN_LIFE = 3600.0

# Policies made by RegisterThing spread slowly: a refusal of the new identity is no verdict for so many seconds.
SPREADING_LIMIT = 45.0

# A connection that ends before its CONNACK may be the network's doing; for so many seconds it is no refusal.
HUNG_UP_LIMIT = 5.0


def judge(
    failure: RejectedError | AgentError,
    step: Step,
    refused_for: float,
    ownership_token_age: float = 0.0,
    spreading: float = SPREADING_LIMIT,
) -> Verdict:
    """What to do about a step that did not succeed.

    Args:
        failure: What happened.
        step: Where.
        refused_for: Seconds since this step was refused for the first time.
        ownership_token_age: Seconds since the ownership token in use arrived, as far as the clock is known.
        spreading: Seconds for which a refusal of the new identity is no verdict.
    """
    if isinstance(failure, RejectedError):
        return _judge_rejection(failure, ownership_token_age)
    patient_for = spreading if step is Step.PROVE else HUNG_UP_LIMIT
    is_fresh = refused_for < patient_for and (
        step is Step.PROVE or failure.code == CONNECT_UNANSWERED
    )
    if isinstance(failure, RefusedError) and is_fresh:
        return Verdict(error=failure, patience=Patience.SPREADING)
    if step is Step.PROVE and failure.code == PAIR_UNUSABLE:
        # The certificate came over the network: for another one somebody must do something in the cloud.
        return Verdict(error=failure, patience=Patience.REFUSED)
    return Verdict(error=failure, patience=_patience_for(failure))


def _patience_for(error: AgentError) -> Patience | None:
    # By a clock that may be set after all; or the file is replaced.
    if error.code in (SERVER_UNTRUSTED, CLAIM_EXPIRED, CERTIFICATE_EXPIRED):
        return Patience.UNTRUSTED
    if error.code in (PROXY_PASSWORD, ANSWER_UNFIT):
        return Patience.REFUSED
    if isinstance(error, DeviceError | StateDirectoryError):
        return None  # above all: ask AWS for nothing more while its answers cannot be stored
    if isinstance(error, RefusedError):
        return Patience.REFUSED
    return Patience.BUSY if isinstance(error, TemporaryError) else Patience.NETWORK


def _judge_rejection(rejected: RejectedError, ownership_token_age: float) -> Verdict:
    """Decides on the status code, as AWS documents no list of error codes; one alone says what the status does not."""
    status = rejected.status_code
    words = _words(rejected)
    if _is_about_the_ownership_token(rejected, ownership_token_age):
        # The answer of an earlier RegisterThing may be lost and the certificate live, or it expired: nobody can tell
        # from here. The ledger names it, and a new one is asked for.
        error: AgentError = TemporaryError(
            f"The certificate's ownership token was refused: {words}.",
            remedy="The agent requests a new certificate; the ledger lists this one as unresolved.",
            code="ownership-token-refused",
        )
        return Verdict(error=error, patience=Patience.NETWORK, drop_certificate=True)
    if status is None or status == _TOO_MANY_REQUESTS or status >= _SERVER_ERRORS:
        error = TemporaryError(
            f"{rejected.operation.value} was temporarily refused: {words}.",
            remedy="The agent tries again, less and less often; the account's quota is 10 to 20 a second.",
            code="requests-throttled" if status == _TOO_MANY_REQUESTS else "server-error",
        )
        return Verdict(error=error, patience=Patience.BUSY)
    if rejected.operation is Operation.REGISTER and rejected.error_code == _HOOK_FAILED:
        error = TemporaryError(
            f"The template's pre-provisioning hook failed: {words}.",
            remedy="The agent asks again, less and less often. The log of the hook's function shows why it failed: "
            "aws logs tail "
            "/aws/lambda/NAME",
            code="server-error",
        )
        return Verdict(error=error, patience=Patience.BUSY)
    if status == _BAD_REQUEST and rejected.operation is Operation.CREATE_FROM_CSR:
        error = DeviceError(
            f"AWS does not accept the certificate signing request: {words}.",
            remedy="Make a new one: RSA from 2048 bits, P-256, P-384 or P-521, at most 2000 bytes.",
            code=CSR_REFUSED,
        )
        return Verdict(error=error, patience=Patience.REFUSED)
    is_approval = rejected.operation is Operation.REGISTER and status == _FORBIDDEN
    error = (NotApprovedError if is_approval else RefusedError)(
        f"{rejected.operation.value} was refused: {words}.",
        remedy=_REMEDIES.get(status, _OTHER_REMEDY),
        code=PROVISIONING_REFUSED,
    )
    return Verdict(error=error, patience=Patience.REFUSED)


_REMEDIES = {
    _FORBIDDEN: "See why: fleet-cloud devices waiting; or check the template's pre-provisioning hook and its role. "
    "Once the device is approved, a running agent continues by itself; only a move must be ordered again.",
    _NOT_FOUND: "Check the template's name and region: aws iot describe-provisioning-template --template-name NAME",
}
_OTHER_REMEDY = (
    "Compare the parameters (fleet-agent parameters) with the template: aws iot describe-provisioning-template "
    "--template-name NAME; it must be enabled, and its role must have AWSIoTThingsRegistration."
)


def _is_about_the_ownership_token(rejected: RejectedError, ownership_token_age: float) -> bool:
    """Whether another ownership token would help: AWS says so, or this one is past its life, whatever AWS says."""
    status = rejected.status_code
    if rejected.operation is not Operation.REGISTER or status in (_FORBIDDEN, _TOO_MANY_REQUESTS):
        return False
    if status is not None and not _BAD_REQUEST <= status < _SERVER_ERRORS:
        return False
    # From the future: the clock has stepped since, and nobody knows.
    if abs(ownership_token_age) > OWNERSHIP_TOKEN_LIFE:
        return True
    return status is not None and "token" in f"{rejected.error_code} {rejected.message}".lower()


def _words(rejected: RejectedError) -> str:
    parts = (
        str(rejected.status_code or "no status"),
        rejected.error_code or "no error code",
        rejected.message.rstrip(".") or "no message",
    )
    return " · ".join(parts)
