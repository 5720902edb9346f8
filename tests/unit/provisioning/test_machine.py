import dataclasses
import itertools
import re

import pytest

from fleet_agent.credentials.model import Csr, Generation, Home, Issued, Registration, Secret
from fleet_agent.errors import (
    CONNECT_UNANSWERED,
    PAIR_UNUSABLE,
    AgentError,
    DeviceError,
    Exit,
    NotAllowedError,
    NotApprovedError,
    RefusedError,
    StateDirectoryError,
    TemporaryError,
    UnreachableError,
)
from fleet_agent.provisioning.machine import (
    HUNG_UP_LIMIT,
    OWNERSHIP_TOKEN_LIFE,
    SPREADING_LIMIT,
    carry_over,
    damage,
    difference,
    is_factory_key,
    judge,
    next_step,
    other_thing,
)
from fleet_agent.provisioning.model import Operation, Plan, RejectedError, Step
from fleet_agent.session.backoff import Patience
from support.identity import CREDENTIAL
from support.provisioning import GIVEN_CSR, make_plan, plan_to_adopt

MADE_HERE = make_plan("csr")
MADE_BY_AWS = make_plan("keys")
GIVEN_WITH_KEY = make_plan("csr", GIVEN_CSR, has_csr_key=True)
GIVEN = make_plan("csr", GIVEN_CSR)

CREATE = (Operation.CREATE_FROM_CSR, Operation.CREATE_KEYS)


def generation(
    plan: Plan, *, key: bool, issued: bool, registered: bool, proven: bool
) -> Generation:
    return Generation(
        number=3,
        attempt=plan.attempt(0.0, "7a"),
        has_key=key,
        issued=Issued(certificate_id="c1", ownership_token=Secret("t"), received=1.0)
        if issued
        else None,
        registration=Registration(thing_name="pump", device_configuration={})
        if registered
        else None,
        proven=2.0 if proven else None,
    )


# What comes next ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("plan", [MADE_HERE, MADE_BY_AWS, GIVEN_WITH_KEY, GIVEN])
def test_nothing_there(plan: Plan) -> None:
    assert next_step(None, plan) is Step.OPEN


# does the device provide the key · is it there → after nothing, certificate, registration, proven mark
NEXT = {
    (True, False): (Step.KEY, Step.KEY, Step.KEY, Step.KEY),
    (False, False): (Step.ISSUE, Step.REGISTER, Step.KEPT, Step.KEPT),
    (True, True): (Step.ISSUE, Step.REGISTER, Step.PROVE, Step.PROMOTE),
    (False, True): (Step.ISSUE, Step.REGISTER, Step.PROVE, Step.PROMOTE),
}


@pytest.mark.parametrize(
    ("plan", "provides"),
    [(MADE_HERE, True), (GIVEN_WITH_KEY, True), (MADE_BY_AWS, False), (GIVEN, False)],
    ids=["made here", "given with key", "made by AWS", "given"],
)
@pytest.mark.parametrize("facts", list(itertools.product([False, True], repeat=4)), ids=str)
def test_every_combination_of_facts(
    plan: Plan, provides: bool, facts: tuple[bool, bool, bool, bool]
) -> None:
    key, issued, registered, proven = facts
    known = 0 if not issued else 1 if not registered else 2 if not proven else 3
    found = generation(plan, key=key, issued=issued, registered=registered, proven=proven)
    assert next_step(found, plan) is NEXT[provides, key][known]


def test_a_certificate_without_the_key_that_was_made_for_it() -> None:
    lost = generation(MADE_HERE, key=False, issued=True, registered=False, proven=False)
    error = damage(lost)
    assert error is not None
    assert (error.code, error.exit_status) == ("state-damaged", Exit.WRONG_ON_DEVICE)
    assert "--restart" in error.remedy


@pytest.mark.parametrize(
    ("plan", "key", "issued"),
    [(MADE_HERE, False, False), (MADE_HERE, True, True), (GIVEN, False, True)],
    ids=["nothing yet", "all there", "the key is elsewhere"],
)
def test_nothing_is_missing(plan: Plan, key: bool, issued: bool) -> None:
    assert damage(generation(plan, key=key, issued=issued, registered=False, proven=False)) is None


# Another attempt than the one under way -------------------------------------------------------------------------------


def test_the_same_is_asked_for_again() -> None:
    for plan in (MADE_HERE, MADE_BY_AWS, GIVEN, GIVEN_WITH_KEY):
        assert difference(plan.attempt(0.0, "7a"), plan) is None


def test_a_csrs_key_brought_later_is_the_same_attempt() -> None:
    assert difference(GIVEN.attempt(0.0, "7a"), GIVEN_WITH_KEY) is None


def test_other_parameters_are_the_same_attempt() -> None:
    other = dataclasses.replace(MADE_HERE, parameters={"SerialNumber": "8"})
    assert difference(MADE_HERE.attempt(0.0, "7a"), other) is None


@pytest.mark.parametrize(
    ("was", "wanted", "words"),
    [
        (MADE_HERE, dataclasses.replace(MADE_HERE, template="other"), "template fleet, .* other"),
        (MADE_HERE, dataclasses.replace(MADE_HERE, endpoint="b"), "endpoint a.example, .* b"),
        (MADE_HERE, MADE_BY_AWS, "method csr, .* keys"),
        (MADE_HERE, GIVEN, "CSR made on the device, .* CSR c5c5c5c5c5c5…"),
        (GIVEN, MADE_HERE, "CSR c5c5c5c5c5c5….*, .* CSR made on the device"),
        (
            GIVEN,
            make_plan("csr", Csr(pem="", hash="aa" * 32, public_key=b"")),
            "CSR c5c5c5c5c5c5….*, .* CSR aaaaaaaaaaaa…",
        ),
    ],
)
def test_something_else_is_asked_for_now(was: Plan, wanted: Plan, words: str) -> None:
    error = difference(was.attempt(0.0, "7a"), wanted)
    assert isinstance(error, DeviceError)
    assert error.code == "attempt-differs"
    assert "--restart" in error.remedy
    with pytest.raises(DeviceError, match=words):
        raise error


# AWS said no ----------------------------------------------------------------------------------------------------------


def rejected(operation: Operation, status: int | None, text: str = "why") -> RejectedError:
    return RejectedError(operation, status, "SomeCode", text)


@pytest.mark.parametrize("operation", Operation)
@pytest.mark.parametrize(
    ("status", "code"),
    [
        (429, "requests-throttled"),
        (500, "server-error"),
        (503, "server-error"),
        (599, "server-error"),
        (None, "server-error"),
    ],
)
def test_refused_for_now(operation: Operation, status: int | None, code: str) -> None:
    verdict = judge(rejected(operation, status, "a token"), Step.ISSUE, 0.0)
    assert verdict.patience is Patience.BUSY
    assert not verdict.drop_certificate
    assert (verdict.error.code, verdict.error.exit_status) == (code, Exit.TEMPORARY)


@pytest.mark.parametrize(
    ("operation", "status"),
    [
        *itertools.product([Operation.REGISTER], [200, 302, 400, 401, 403, 404, 409, 499]),
        *itertools.product([Operation.CREATE_KEYS], [200, 400, 403, 404]),
        *itertools.product([Operation.CREATE_FROM_CSR], [200, 403, 404]),
    ],
)
def test_refused_until_somebody_changes_something(operation: Operation, status: int) -> None:
    verdict = judge(rejected(operation, status), Step.REGISTER, 0.0)
    assert verdict.patience is Patience.REFUSED
    assert not verdict.drop_certificate
    assert isinstance(verdict.error, RefusedError)
    assert str(status) in verdict.error.title
    assert "SomeCode · why" in verdict.error.title


@pytest.mark.parametrize(("status", "word"), [(403, "hook"), (404, "describe-"), (400, "enabled")])
def test_the_remedy_of_a_refusal_fits_its_status(status: int, word: str) -> None:
    assert word in judge(rejected(Operation.REGISTER, status), Step.REGISTER, 0.0).error.remedy


def test_a_csr_that_aws_does_not_take() -> None:
    verdict = judge(rejected(Operation.CREATE_FROM_CSR, 400), Step.ISSUE, 0.0)
    # What comes over the network never ends `run`.
    assert verdict.patience is Patience.REFUSED
    assert (verdict.error.code, verdict.error.exit_status) == (
        "csr-refused",
        Exit.WRONG_ON_DEVICE,
    )


@pytest.mark.parametrize("status", [400, 401, 404, 409, 499])
@pytest.mark.parametrize("text", ["Invalid certificate ownership token", "TOKEN expired"])
def test_the_token_is_refused(status: int, text: str) -> None:
    verdict = judge(rejected(Operation.REGISTER, status, text), Step.REGISTER, 0.0)
    assert verdict.drop_certificate
    assert verdict.patience is Patience.NETWORK
    assert (verdict.error.code, verdict.error.exit_status) == (
        "ownership-token-refused",
        Exit.TEMPORARY,
    )


def test_the_token_is_refused_by_its_error_code_alone() -> None:
    refusal = RejectedError(Operation.REGISTER, 400, "InvalidCertificateOwnershipToken", "")
    assert judge(refusal, Step.REGISTER, 0.0).drop_certificate


@pytest.mark.parametrize("status", [403, 429, 500])
@pytest.mark.parametrize("age", [0.0, OWNERSHIP_TOKEN_LIFE + 1])
def test_a_denial_and_a_busy_server_say_nothing_about_the_token(status: int, age: float) -> None:
    refusal = rejected(Operation.REGISTER, status, "token")
    assert not judge(refusal, Step.REGISTER, 0.0, age).drop_certificate


@pytest.mark.parametrize("operation", CREATE)
@pytest.mark.parametrize("age", [0.0, OWNERSHIP_TOKEN_LIFE + 1])
def test_no_token_is_in_play_before_there_is_a_certificate(
    operation: Operation, age: float
) -> None:
    refusal = rejected(operation, 400, "token")
    assert not judge(refusal, Step.ISSUE, 0.0, age).drop_certificate


@pytest.mark.parametrize("status", [400, 404, 409, None])
@pytest.mark.parametrize("age", [OWNERSHIP_TOKEN_LIFE + 1, -OWNERSHIP_TOKEN_LIFE - 1])
def test_a_token_past_its_hour_is_given_up_whatever_the_words(
    status: int | None, age: float
) -> None:
    assert judge(rejected(Operation.REGISTER, status), Step.REGISTER, 0.0, age).drop_certificate


@pytest.mark.parametrize("age", [-OWNERSHIP_TOKEN_LIFE, -1.0, 0.0, OWNERSHIP_TOKEN_LIFE])
def test_a_token_within_its_hour_is_kept_when_the_words_are_about_something_else(
    age: float,
) -> None:
    refusal = rejected(Operation.REGISTER, 400, "Parameter SerialNumber is missing")
    assert not judge(refusal, Step.REGISTER, 0.0, age).drop_certificate


STATUSES = (None, 202, 400, 401, 403, 404, 406, 409, 410, 429, 500, 503)
CODES = (
    "",
    "ACCESS_DENIED",
    "AccessDenied",
    "ConflictingResourceUpdate",
    "InternalFailure",
    "InvalidParameters",
    "InvalidRequest",
    "InvalidResult",
    "InvalidTemplate",
    "LimitExceeded",
    "ProvisioningFailed",
    "ResourceConflictsException",
    "ResourceRegistrationFailure",
    "ServiceUnavailable",
    "Throttling",
    "Unauthorized",
)


@pytest.mark.parametrize("operation", Operation)
@pytest.mark.parametrize("status", STATUSES)
def test_the_error_code_decides_nothing(operation: Operation, status: int | None) -> None:
    """AWS documents no list of them; only one that names the token says what the status does not."""
    verdicts = [
        judge(RejectedError(operation, status, code, ""), Step.ISSUE, 0.0) for code in CODES
    ]
    first = verdicts[0]
    for verdict in verdicts:
        assert verdict.patience is first.patience
        assert verdict.error.exit_status is first.error.exit_status
        assert not verdict.drop_certificate


@pytest.mark.parametrize("status", [400, 500, None])
def test_a_hook_that_fails_is_no_denial(status: int | None) -> None:
    failed = RejectedError(Operation.REGISTER, status, "InvocationError", "was not executed")
    verdict = judge(failed, Step.REGISTER, 0.0)
    assert verdict.patience is Patience.BUSY
    assert (verdict.error.code, verdict.error.exit_status) == ("server-error", Exit.TEMPORARY)
    assert not verdict.drop_certificate


def test_an_attempt_begun_again_keeps_count_and_wait_at_the_same_endpoint() -> None:
    former = dataclasses.replace(MADE_HERE.attempt(0.0, "7a"), tries=7, not_before=99.0)
    other = dataclasses.replace(MADE_HERE, template="other").attempt(5.0, "7a")
    assert carry_over(other, former) == dataclasses.replace(other, tries=7, not_before=99.0)
    moved = dataclasses.replace(MADE_HERE, endpoint="b").attempt(5.0, "7a")
    assert carry_over(moved, former) == moved


@pytest.mark.parametrize("text", ["...no X", "...no X.", "...no X..."])
def test_what_aws_says_ends_as_a_sentence(text: str) -> None:
    error = judge(rejected(Operation.REGISTER, 403, text), Step.REGISTER, 0.0).error
    assert error.title.endswith("403 · SomeCode · ...no X.")


def test_an_answer_without_a_word() -> None:
    error = judge(RejectedError(Operation.REGISTER, None, "", ""), Step.REGISTER, 0.0).error
    assert "no status · no error code · no message" in error.title


# Something else went wrong --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "patience"),
    [
        (DeviceError, None),
        (StateDirectoryError, None),
        (RefusedError, Patience.REFUSED),
        (TemporaryError, Patience.BUSY),
        (UnreachableError, Patience.NETWORK),
    ],
)
@pytest.mark.parametrize("step", Step)
def test_a_failure_is_waited_out_by_its_kind(
    kind: type[AgentError], patience: Patience | None, step: Step
) -> None:
    failure = kind("It failed.", remedy="Mend it.", code="x")
    verdict = judge(failure, step, SPREADING_LIMIT)
    assert verdict.error is failure
    assert verdict.patience is patience
    assert not verdict.drop_certificate


@pytest.mark.parametrize("code", ["claim-expired", "certificate-expired"])
def test_what_has_expired_by_this_clock_is_waited_for_by_who_can_wait(code: str) -> None:
    expired = DeviceError("It expired.", remedy="Replace it.", code=code)
    patience = judge(expired, Step.ISSUE, SPREADING_LIMIT).patience
    assert patience is not None
    assert patience.needs_person
    assert patience.ceiling <= 300


@pytest.mark.parametrize(
    ("refused_for", "patience"),
    [
        (0.0, Patience.SPREADING),
        (SPREADING_LIMIT - 0.1, Patience.SPREADING),
        (SPREADING_LIMIT, Patience.REFUSED),
    ],
)
def test_a_new_identity_is_refused_while_its_policy_may_be_spreading(
    refused_for: float, patience: Patience
) -> None:
    refused = NotAllowedError("thing", "iot:Connect", "client/pump-7")
    assert judge(refused, Step.PROVE, refused_for).patience is patience
    assert judge(refused, Step.ISSUE, refused_for).patience is Patience.REFUSED


@pytest.mark.parametrize(
    ("refused_for", "patience"),
    [
        (0.0, Patience.SPREADING),
        (HUNG_UP_LIMIT - 0.1, Patience.SPREADING),
        (HUNG_UP_LIMIT, Patience.REFUSED),
    ],
)
def test_a_hang_up_is_no_refusal_at_once(refused_for: float, patience: Patience) -> None:
    hung_up = RefusedError("Hung up.", remedy="Look.", code=CONNECT_UNANSWERED)
    assert judge(hung_up, Step.ISSUE, refused_for).patience is patience


@pytest.mark.parametrize(
    ("wanted", "given", "is_other"),
    [
        ("pump", "pump", False),
        ("pump-7", "pump", True),
        (None, "pump", True),
        ("pump", None, True),
        (None, None, False),
    ],
)
def test_a_replacement_is_of_the_same_thing(
    wanted: str | None, given: str | None, is_other: bool
) -> None:
    in_use = dataclasses.replace(CREDENTIAL, thing_name=wanted)
    found = generation(MADE_HERE, key=True, issued=True, registered=True, proven=False)
    found = dataclasses.replace(
        found, registration=Registration(thing_name=given, device_configuration={})
    )
    error = other_thing(found, in_use)
    assert (error is not None) is is_other
    if error is not None:
        for word in ("c1", wanted or "no thing", given or "no thing"):
            assert word in error.title
        verdict = judge(error, Step.REGISTER, 0.0)
        assert verdict.patience is None, "it ends there"
    assert other_thing(found, None) is None
    assert other_thing(dataclasses.replace(found, registration=None), in_use) is None


# Adopted --------------------------------------------------------------------------------------------------------------


def test_what_is_adopted_takes_the_same_steps() -> None:
    plan = plan_to_adopt()
    steps = [next_step(None, plan)]
    for facts in range(5):
        names = ("key", "issued", "registered", "proven")
        found = {name: facts > place for place, name in enumerate(names)}
        steps.append(next_step(generation(plan, **found), plan))
    assert steps == list(Step)[:-1]


def test_another_origin_or_certificate_is_another_attempt() -> None:
    adopted = plan_to_adopt("c1")
    assert difference(adopted.attempt(0.0, "7a"), plan_to_adopt("c1")) is None
    error = difference(adopted.attempt(0.0, "7a"), plan_to_adopt("c2"))
    assert error is not None
    assert "unfinished attempt with certificate c1, but this one has certificate c2" in error.title
    for was, wanted in ((adopted, MADE_HERE), (MADE_HERE, adopted)):
        error = difference(was.attempt(0.0, "7a"), wanted)
        assert error is not None
        assert f"unfinished attempt with origin {was.origin}, but" in error.title


def test_a_key_made_ahead_is_not_that_of_a_given_certificate() -> None:
    found = generation(MADE_HERE, key=True, issued=False, registered=False, proven=False)
    found = dataclasses.replace(found, attempt=dataclasses.replace(found.attempt, tries=0))
    assert is_factory_key(found, MADE_HERE)
    assert not is_factory_key(found, plan_to_adopt())


def test_the_patience_with_a_certificate_being_registered_ends() -> None:
    hung_up = RefusedError("Hung up.", remedy="Look.", code=CONNECT_UNANSWERED)
    for refused_for, patience in ((119.0, Patience.SPREADING), (121.0, Patience.REFUSED)):
        assert judge(hung_up, Step.PROVE, refused_for, spreading=120.0).patience is patience


def test_a_certificate_that_fits_its_key_and_no_tls_is_the_clouds_to_replace() -> None:
    unusable = DeviceError("It does not do.", remedy="Have another.", code=PAIR_UNUSABLE)
    verdict = judge(unusable, Step.PROVE, 0.0)
    assert (verdict.error, verdict.patience) == (unusable, Patience.REFUSED)
    assert judge(unusable, Step.ISSUE, 0.0).patience is None


@pytest.mark.parametrize(
    ("operation", "status", "is_approval"),
    [(Operation.REGISTER, 403, True), (Operation.REGISTER, 404, False), (Operation.CREATE_KEYS, 403, False)],
)  # fmt: skip
def test_an_approval_is_waited_for_where_a_hook_said_no(
    operation: Operation, status: int, is_approval: bool
) -> None:
    error = judge(RejectedError(operation, status, "", ""), Step.REGISTER, 0.0).error
    assert isinstance(error, NotApprovedError) is is_approval
    assert error.code == "provisioning-refused"


def test_another_key_is_another_attempt() -> None:
    plan = dataclasses.replace(MADE_HERE, key_of=3)
    for attempt, wanted, words in (
        (MADE_HERE.attempt(0.0, ""), plan, "key of its own, .* key of generation 3"),
        (plan.attempt(0.0, ""), MADE_HERE, "key of generation 3, .* key of its own"),
    ):
        found = difference(attempt, wanted)
        assert found is not None
        assert re.search(words, found.title)


def test_a_registration_of_another_thing_without_a_certificate_is_named_all_the_same() -> None:
    found = generation(MADE_HERE, key=True, issued=False, registered=True, proven=False)
    error = other_thing(found, CREDENTIAL)
    assert error is not None
    assert "of this attempt" in error.title


def test_an_attempt_is_for_all_that_is_planned() -> None:
    home = Home(name="b.example", port=443, ca_file=None)
    plan = dataclasses.replace(GIVEN, home=home, key_of=3)
    attempt = plan.attempt(5.0, "7a")
    assert (attempt.endpoint, attempt.template, attempt.method) == ("a.example", "fleet", "csr")
    assert (attempt.parameters_hash, attempt.csr_hash) == ("7a", GIVEN_CSR.hash)
    assert (attempt.tries, attempt.not_before, attempt.opened) == (1, 0.0, 5.0)
    assert (attempt.home, attempt.key_of) == (home, 3)
    assert (attempt.origin, attempt.certificate_id) == ("claim", None)
    adopted = plan_to_adopt("c9").attempt(5.0, "")
    assert (adopted.origin, adopted.certificate_id, adopted.csr_hash) == ("adopted", "c9", None)
