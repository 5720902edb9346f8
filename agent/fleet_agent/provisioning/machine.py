"""The provisioning walk, decided. Pure: facts on disk → next step; outcome → what to do about it.

Two rules hold it together. First, there is no state but what the store found in the pending generation, so that a
restart, a retry and a first run are the same code. Second, nothing that cannot be repeated is asked for before what it
needs is on disk, and a certificate that may be live is never replaced before the ledger has named it.

    nothing ──OPEN──▶ attempt ──KEY──▶ key ──ISSUE──▶ certificate + token ──REGISTER──▶ registration
                                        ▲                  │                                │
                                        └──token refused───┘           PROVE (a real session)▼
                                          (ledger: unresolved)          proven ──PROMOTE──▶ current

With ``--csr`` and no key the walk ends at the registration (``KEPT``): nobody here can prove it.
"""

from fleet_agent.credentials.model import Attempt, Generation
from fleet_agent.errors import AgentError, DeviceError, RefusedError, TemporaryError
from fleet_agent.provisioning.model import Operation, Plan, RejectedError, Step, Verdict
from fleet_agent.session.backoff import Patience

_TOO_MANY_REQUESTS = 429
_SERVER_ERRORS = 500
_BAD_REQUEST = 400
_FORBIDDEN = 403
_NOT_FOUND = 404


def next_step(found: Generation | None, plan: Plan) -> Step:
    """What the pending generation lacks next."""
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
    """Why an attempt under way is not the one that is asked for now; None when it is.

    Other template parameters are no difference: they are sent with the next RegisterThing.
    """
    csr_hash = plan.csr.hash if plan.csr else None
    pairs = (
        ("template", attempt.template, plan.template),
        ("endpoint", attempt.endpoint, plan.endpoint),
        ("method", attempt.method, plan.method),
        ("CSR", _csr_words(attempt.csr_hash), _csr_words(csr_hash)),
    )
    for word, was, wanted in pairs:
        if was != wanted:
            return DeviceError(
                f"An attempt with {word} {was} is under way, and {word} {wanted} is asked for now.",
                remedy="Ask for the same again to finish it, or drop it: fleet-agent provision --restart",
                code="attempt-differs",
            )
    return None


def _csr_words(csr_hash: str | None) -> str:
    return f"{csr_hash[:12]}… (SHA-256)" if csr_hash else "made on the device"


# Policies made by RegisterThing spread slowly: a refusal of the new identity is no verdict for so many seconds.
SPREADING_LIMIT = 45.0


def judge(failure: RejectedError | AgentError, step: Step, refused_for: float) -> Verdict:
    """What to do about a step that did not succeed.

    Args:
        failure: What happened.
        step: Where.
        refused_for: Seconds since this step was refused for the first time.
    """
    if isinstance(failure, RejectedError):
        return _judge_rejection(failure)
    is_fresh = step is Step.PROVE and refused_for < SPREADING_LIMIT
    if isinstance(failure, RefusedError) and is_fresh:
        return Verdict(error=failure, patience=Patience.SPREADING)
    return Verdict(error=failure, patience=_patience_for(failure))


def _patience_for(error: AgentError) -> Patience | None:
    if isinstance(error, DeviceError):
        return None
    if isinstance(error, RefusedError):
        return Patience.REFUSED
    return Patience.BUSY if isinstance(error, TemporaryError) else Patience.NETWORK


def _judge_rejection(rejected: RejectedError) -> Verdict:
    """Decide on the status code alone: AWS documents no list of error codes."""
    status = rejected.status_code
    words = _words(rejected)
    if _is_about_the_token(rejected):
        # The answer of an earlier RegisterThing may be lost and the certificate live, or it expired: nobody can tell
        # from here. The ledger names it, and a new one is asked for.
        error: AgentError = TemporaryError(
            f"The certificate's ownership token was refused: {words}.",
            remedy="A new certificate is asked for; the ledger names this one as unresolved.",
            code="token-refused",
        )
        return Verdict(error=error, patience=Patience.NETWORK, drop_certificate=True)
    if status is None or status == _TOO_MANY_REQUESTS or status >= _SERVER_ERRORS:
        error = TemporaryError(
            f"{rejected.operation.value} was refused for now: {words}.",
            remedy="It is tried again, slower and slower; the account's quota is 10 to 20 a second.",
            code="throttled" if status == _TOO_MANY_REQUESTS else "server-error",
        )
        return Verdict(error=error, patience=Patience.BUSY)
    if status == _BAD_REQUEST and rejected.operation is Operation.CREATE_FROM_CSR:
        error = DeviceError(
            f"AWS does not take the certificate signing request: {words}.",
            remedy="Make another one: RSA from 2048 bits, P-256, P-384 or P-521, at most 2000 bytes.",
            code="csr-refused",
        )
        return Verdict(error=error, patience=None)
    error = RefusedError(
        f"{rejected.operation.value} was refused: {words}.",
        remedy=_REMEDIES.get(status, _OTHER_REMEDY),
        code="refused",
    )
    return Verdict(error=error, patience=Patience.REFUSED)


_REMEDIES = {
    _FORBIDDEN: "Look at the template's pre-provisioning hook and at its role; an approval later is enough, nothing "
    "needs to be done here.",
    _NOT_FOUND: "Check the template's name and region: aws iot describe-provisioning-template --template-name NAME",
}
_OTHER_REMEDY = (
    "Compare the parameters (fleet-agent parameters) with the template: aws iot describe-provisioning-template "
    "--template-name NAME; it must be enabled, and its role must have AWSIoTThingsRegistration."
)


def _is_about_the_token(rejected: RejectedError) -> bool:
    if rejected.operation is not Operation.REGISTER:
        return False
    is_client_fault = rejected.status_code is not None and (
        _BAD_REQUEST <= rejected.status_code < _SERVER_ERRORS
        and rejected.status_code not in (_FORBIDDEN, _TOO_MANY_REQUESTS)
    )
    return is_client_fault and "token" in f"{rejected.error_code} {rejected.message}".lower()


def _words(rejected: RejectedError) -> str:
    parts = (
        str(rejected.status_code or "no status"),
        rejected.error_code or "no error code",
        rejected.message.rstrip(".") or "no message",
    )
    return " · ".join(parts)
