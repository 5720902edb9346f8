"""Every way in which the cloud can answer wrongly, late, twice or not at all, at every call of a provisioning.

After each: the run ends provisioned by itself or in its documented exit status, a plain second run ends provisioned,
the ledger names every certificate whose answer arrived, and no more certificates were made than the fault costs.
"""

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from iot_sandbox.client import FaultClient
from support.agent import Agent, run_command, until
from support.claimant import Provisioned
from support.faulttable import Seen, tell
from support.fleets import Fleet, make_fleet
from support.mqtt import connected

pytestmark = pytest.mark.slow  # two minutes

_SHORT = {"4", "6"}  # time-outs that end before the fault does
CREATE_FROM_CSR, CREATE_KEYS, REGISTER = "create-from-csr", "create-keys", "register-thing"


@dataclass(frozen=True)
class Case:
    """One fault, acting on the first call unless ``parameters`` says otherwise.

    Attributes:
        first: exit status of the run that meets the fault; then a second run must end provisioned.
        minted: certificates made in all.
        named: those whose answer arrived, so that the ledger must name them; None: all.
        timeout: ``--timeout`` of the first run.
        words: the fault, where its kind and parameters say too little or too much.
    """

    operation: str
    kind: str
    parameters: dict[str, Any] = field(default_factory=dict)
    first: int = 0
    minted: int = 1
    named: int | None = None
    timeout: str = "30"
    words: str = ""

    @property
    def method(self) -> str:
        return "keys" if self.operation == CREATE_KEYS else "csr"

    @property
    def step(self) -> str:
        """Where it acts, as the table has it."""
        names = {
            CREATE_FROM_CSR: "CreateCertificateFromCsr",
            CREATE_KEYS: "CreateKeysAndCertificate",
            REGISTER: "RegisterThing",
        }
        if self.operation in names:
            return names[self.operation]
        if self.parameters.get("client_id") == "claim-*" or "topic" in self.parameters:
            return f"{self.operation} as the claim"
        return f"prove: {self.operation} as the thing"

    @property
    def fault(self) -> str:
        """What goes wrong, as the table has it."""
        given = {name: self.parameters.get(name) for name in ("seconds", "fields", "payload")}
        words = {
            "reject": f"refused: {self._refusal}",
            "delay": f"answer {given['seconds']} s late",
            "lose-answer": "answer lost",
            "answer-twice": "two answers",
            "answer-other-key": "answer for another key",
            "malformed": "answer is not JSON",
            "replace": f"answer `{given['payload']}`" if given["payload"] else "answer empty",
            "drop-fields": f"answer without {', '.join(given['fields'] or [])}",
            "close-before": "connection dropped before the request takes effect",
            "close-after": "connection dropped after the request took effect, before the answer",
            "policy-spread": f"policy effective only after {given['seconds']} s",
        }[self.kind]
        if self.words:
            words = self.words
        if self.timeout in _SHORT and self.first == 69:
            words += (
                ", during the next attempt"
                if self.kind == "delay"
                else ", and no time left to wait"
            )
        return words + (" every time" if self.parameters.get("calls") == "every" else "")

    @property
    def _refusal(self) -> str:
        if self.operation in ("connect", "subscribe", "publish"):
            return f"reason code {self.parameters.get('reason_code', 135)}"
        status, code = (self.parameters.get(name) for name in ("status_code", "error_code"))
        return "no reason given" if status is None else f"{status} {code}"

    def __str__(self) -> str:
        words = [f"{value!s:.24}" for value in self.parameters.values()]
        return " ".join([self.operation, self.kind, *words])


def cases(*found: Case, alike: Sequence[Case] = ()) -> pytest.MarkDecorator:
    """Parametrize a test; those ``alike`` say little that the others do not."""
    values = [pytest.param(case, id=str(case)) for case in (*found, *alike)]
    return pytest.mark.parametrize("case", values)


@pytest.fixture
def agent(fleet: Fleet, faults: FaultClient, tmp_path: Path) -> Agent:
    del faults  # none left from the test before
    return Agent(fleet, tmp_path)


def assert_outlived(agent: Agent, faults: FaultClient, case: Case) -> None:
    """Runs into the fault, then once more if need be; looks at what there is afterwards."""
    faults.add(case.operation, case.kind, **case.parameters)
    device = agent.but(method=case.method)
    done = met = device.provision("--timeout", case.timeout)
    assert done.status == case.first, done.stderr
    assert "Traceback" not in done.stderr
    if case.first:
        assert agent.current_id() is None
        done = device.provision()
        assert done.status == 0, done.stderr
    minted = faults.certificates()
    assert len(minted) == case.minted, done.stderr
    tell(Seen(case.step, case.fault, case.first, case.minted, met.stderr))
    assert_provisioned(agent, minted)
    assert len(agent.ledger()) == (case.minted if case.named is None else case.named)


def assert_provisioned(agent: Agent, minted: Sequence[str]) -> None:
    """Its certificate lives, its thing is there; the ledger names nothing that was never made."""
    current = agent.current_id()
    assert current is not None
    assert agent.fleet.certificate_status(current) == "ACTIVE"
    assert current in agent.fleet.certificate_ids(agent.thing_name)
    ledger = agent.ledger()
    assert set(ledger) <= set(minted)
    assert ledger[current][-1] == "current"
    others = {events[-1] for name, events in ledger.items() if name != current}
    assert others <= {"foreign", "unresolved", "retired"}


# Rejected -------------------------------------------------------------------------------------------------------------


# AWS documents none: these are the words of its guide and of the HTTP twin of RegisterThing.
_ERROR_CODES: dict[int | None, str] = {
    400: "ResourceRegistrationFailure",
    403: "ACCESS_DENIED",
    404: "ResourceNotFound",
    409: "ConflictingResourceUpdate",
    429: "Throttling",
    500: "InternalFailure",
    503: "ServiceUnavailable",
}


def reject(status: int | None, operation: str, first: int = 0) -> Case:
    code = _ERROR_CODES.get(status)
    said = {"status_code": status, "error_code": code, "message": "why" if code else None}
    return Case(operation, "reject", said, first=first)


@cases(
    reject(400, CREATE_FROM_CSR, 78),
    reject(403, CREATE_FROM_CSR, 77),
    reject(429, CREATE_FROM_CSR),
    reject(400, CREATE_KEYS, 77),
    reject(400, REGISTER, 77),
    reject(403, REGISTER, 77),
    reject(429, REGISTER),
    reject(500, REGISTER),
    reject(None, REGISTER),
    alike=[
        reject(404, CREATE_FROM_CSR, 77),
        reject(409, CREATE_FROM_CSR, 77),
        reject(503, CREATE_FROM_CSR),
        reject(None, CREATE_FROM_CSR),
        reject(500, CREATE_FROM_CSR),
        reject(429, CREATE_KEYS),
        reject(404, REGISTER, 77),
        reject(409, REGISTER, 77),
        reject(503, REGISTER),
    ],
)
def test_request_rejected(agent: Agent, faults: FaultClient, case: Case) -> None:
    assert_outlived(agent, faults, case)


@pytest.mark.parametrize("status", [429, 500, None])
def test_request_rejected_for_as_long_as_one_waits(
    agent: Agent, faults: FaultClient, status: int | None
) -> None:
    faults.add(REGISTER, "reject", calls="every", status_code=status)
    done = agent.provision("--timeout", "7")
    assert done.status == 75, done.stderr
    assert done.error["code"] == ("requests-throttled" if status == 429 else "server-error")
    faults.clear()
    assert agent.provision().status == 0
    assert len(faults.certificates()) == 1


# Late, lost, twice ----------------------------------------------------------------------------------------------------


@cases(
    Case(REGISTER, "delay", {"seconds": 1.5}),
    Case(CREATE_FROM_CSR, "delay", {"seconds": 7}, first=69, minted=2, named=1, timeout="4"),
    Case(REGISTER, "delay", {"seconds": 7}, first=69, timeout="4"),
    Case(CREATE_FROM_CSR, "lose-answer", first=69, minted=2, named=1, timeout="4"),
    Case(REGISTER, "lose-answer", first=69, timeout="4"),
    Case(CREATE_FROM_CSR, "answer-twice"),
    Case(REGISTER, "answer-twice"),
    alike=[
        Case(CREATE_FROM_CSR, "delay", {"seconds": 1.5}),
        Case(CREATE_KEYS, "lose-answer", first=69, minted=2, named=1, timeout="4"),
        Case(CREATE_KEYS, "answer-twice"),
    ],
)
def test_answer_late_lost_or_twice(agent: Agent, faults: FaultClient, case: Case) -> None:
    assert_outlived(agent, faults, case)


@cases(
    Case(CREATE_FROM_CSR, "lose-answer", minted=2, named=1, timeout="60"),
    Case(REGISTER, "lose-answer", timeout="60"),
)
def test_answer_lost_and_the_run_waits_for_it(
    agent: Agent, faults: FaultClient, case: Case
) -> None:
    assert_outlived(agent, faults, case)


# The connection ends --------------------------------------------------------------------------------------------------


@cases(
    Case(CREATE_FROM_CSR, "close-before"),
    Case(CREATE_FROM_CSR, "close-after", minted=2, named=1),
    Case(CREATE_KEYS, "close-after", minted=2, named=1),
    Case(REGISTER, "close-before"),
    Case(REGISTER, "close-after"),
    alike=[
        Case(CREATE_KEYS, "close-before"),
    ],
)
def test_connection_closed_at_a_request(agent: Agent, faults: FaultClient, case: Case) -> None:
    assert_outlived(agent, faults, case)


# Answers that say something else ------------------------------------------------------------------------------------


@cases(
    # ours is made too, and its answer never comes
    Case(CREATE_FROM_CSR, "answer-other-key", minted=3, named=2),
    Case(CREATE_KEYS, "answer-other-key", minted=3, named=2),
)
def test_answer_for_another_key(agent: Agent, faults: FaultClient, case: Case) -> None:
    assert_outlived(agent, faults, case)
    assert ["foreign"] in agent.ledger().values()


def unusable(operation: str, payload: object, words: str = "") -> Case:
    """An accepted answer that holds nothing; a certificate was made, and nobody learns its id."""
    minted = 1 if operation == REGISTER else 2
    return Case(operation, "replace", {"payload": payload}, minted=minted, named=1, words=words)


WRONG_TYPES = {"certificateId": 5, "certificatePem": [], "certificateOwnershipToken": None}


@cases(
    Case(CREATE_FROM_CSR, "malformed", minted=2, named=1),
    Case(REGISTER, "malformed"),
    unusable(CREATE_FROM_CSR, WRONG_TYPES, "answer with wrong types"),
    unusable(CREATE_FROM_CSR, "null"),
    unusable(CREATE_FROM_CSR, "[" * 100_000, "answer nested too deep"),
    unusable(
        CREATE_KEYS,
        {"certificateId": 5, "certificatePem": "x", "privateKey": {}},
        "answer with wrong types",
    ),
    unusable(REGISTER, {"thingName": "t", "deviceConfiguration": [1]}, "answer with wrong types"),
    unusable(REGISTER, '{"thingName": "' + "x" * 120_000, "huge answer, cut off"),
    alike=[
        Case(CREATE_KEYS, "malformed", minted=2, named=1),
        unusable(CREATE_FROM_CSR, ""),
        unusable(CREATE_FROM_CSR, "[]"),
        unusable(CREATE_FROM_CSR, "x" * 120_000, "huge answer"),
        unusable(REGISTER, "7"),
        unusable(REGISTER, {"thingName": 5}),
    ],
)
def test_answer_that_cannot_be_used(agent: Agent, faults: FaultClient, case: Case) -> None:
    assert_outlived(agent, faults, case)


@cases(
    *(
        Case(CREATE_FROM_CSR, "drop-fields", {"fields": [name]}, minted=2, named=named)
        for name, named in (
            ("certificateId", 1),
            ("certificatePem", 2),
            ("certificateOwnershipToken", 2),
        )
    ),
    Case(CREATE_KEYS, "drop-fields", {"fields": ["privateKey"]}, minted=2, named=2),
    Case(REGISTER, "drop-fields", {"fields": ["deviceConfiguration"]}),
)
def test_answer_with_a_field_missing(agent: Agent, faults: FaultClient, case: Case) -> None:
    assert_outlived(agent, faults, case)


def test_device_configuration_that_makes_a_topic_impossible(
    agent: Agent, faults: FaultClient, tmp_path: Path
) -> None:
    """Nothing of the answer is kept: it is asked for again."""
    payload = {"thingName": agent.thing_name, "deviceConfiguration": {"Site": "north/#"}}
    faults.add(REGISTER, "replace", payload=payload)
    config = agent.configuration(
        tmp_path / "config.yaml", telemetry={"topic": "dt/{thing}/{Site}/{source}"}
    )
    done = run_command("provision", "--json", "--allow-volatile", "--config", config)
    assert (done.status, done.error["code"]) == (69, "answer-unfit"), done.stderr
    assert "dt/{thing}/{Site}/{source}" in done.error["title"]
    assert not list(agent.credentials.glob("*/registration.json"))
    assert agent.provision().status == 0
    assert len(faults.certificates()) == 1


@pytest.mark.parametrize(
    "payload",
    ["", "[]", '{"statusCode": "403"}', '{"statusCode": true}', {"statusCode": 500, "errorMessage": "x" * 100_000}],
    ids=["empty", "a list", "a text", "a boolean", "huge"],
)  # fmt: skip
def test_rejection_that_says_nothing_of_use(
    agent: Agent, faults: FaultClient, payload: object
) -> None:
    parameters = {"payload": payload, "answer": "rejected"}
    words = f"rejected, saying `{payload or 'nothing'!s:.30}`"
    assert_outlived(agent, faults, Case(REGISTER, "replace", parameters, words=words))


def test_words_of_the_cloud_stay_on_one_line_and_bounded(
    agent: Agent, faults: FaultClient
) -> None:
    message = "no\x1b[31m\r\nfleet-agent: all is well" + "x" * 5000
    faults.add(REGISTER, "reject", status_code=403, error_code="A\nB", message=message)
    done = agent.provision()
    assert done.status == 77
    (line,) = [line for line in done.stderr.splitlines() if "RegisterThing" in line]
    assert "\x1b" not in done.stderr
    assert len(line) < 500


# Quota and tokens -----------------------------------------------------------------------------------------------------


def test_quota_that_a_fleet_exceeds_together(
    fleet: Fleet, faults: FaultClient, tmp_path: Path
) -> None:
    faults.add(CREATE_FROM_CSR, "quota", per_second=1)
    faults.add(REGISTER, "quota", per_second=1)
    agents = []
    for number in range(3):
        (tmp_path / str(number)).mkdir()
        agents.append(Agent(fleet, tmp_path / str(number)))
    with ThreadPoolExecutor(3) as pool:
        outcomes = list(pool.map(lambda agent: agent.provision("--timeout", "60"), agents))
    assert [done.status for done in outcomes] == [0, 0, 0]
    assert len(faults.certificates()) == 3


@pytest.mark.parametrize(
    ("kind", "mode"),
    [
        ("close-after", "idempotent"),
        ("close-after", "reject"),
        ("close-after", "reject-if-active"),
        ("lose-answer", "reject"),
    ],
)
def test_registration_answer_lost_and_the_token_used_again(
    agent: Agent, faults: FaultClient, mode: str, kind: str
) -> None:
    faults.add(REGISTER, "token-reuse", mode=mode)
    minted = 1 if mode == "idempotent" else 2
    if kind == "close-after":
        words = f"answer lost with the connection; the ownership token a second time: {mode}"
        assert_outlived(agent, faults, Case(REGISTER, kind, minted=minted, words=words))
    else:
        words = f"answer lost; the ownership token a second time, in the next run: {mode}"
        case = Case(REGISTER, kind, minted=minted, first=69, timeout="4", words=words)
        assert_outlived(agent, faults, case)
    given_up = [events for events in agent.ledger().values() if events[-1] == "unresolved"]
    assert len(given_up) == minted - 1


def test_token_expired_between_two_runs(agent: Agent, faults: FaultClient) -> None:
    faults.add(REGISTER, "reject", status_code=403)
    assert agent.provision().status == 77
    (first,) = agent.ledger()
    assert first in faults.expire_tokens()
    done = agent.provision()
    assert done.status == 0, done.stderr
    assert done.answer["certificate_id"] != first
    assert agent.ledger()[first][-1] == "unresolved"
    assert len(faults.certificates()) == 2
    tell(Seen("RegisterThing", "ownership token expired between two runs", 0, 2, done.stderr))


def test_tokens_that_keep_being_refused_mint_no_certificate_after_the_other(
    agent: Agent, faults: FaultClient
) -> None:
    word = "InvalidCertificateOwnershipToken"
    faults.add(REGISTER, "reject", calls="every", status_code=400, error_code=word)
    done = agent.provision("--timeout", "6")
    assert done.status == 75, done.stderr
    assert done.error["code"] == "ownership-token-refused"
    minted = len(faults.certificates())
    assert minted >= 2
    assert len(agent.ledger()) == minted
    # Each wait is a part, by chance, of a span that doubles, and a second at least; how it grows is in test_walk.
    assert minted <= 1 + 6
    assert "the last try was a moment ago" in done.stderr
    faults.clear()
    assert agent.provision().status == 0


# Connecting, subscribing, publishing as the claim ---------------------------------------------------------------------

CLAIM = {"client_id": "claim-*"}
REQUESTS = {"topic": "$aws/*"}


@cases(
    Case("connect", "reject", {"reason_code": 133, **CLAIM}, first=77),
    Case("connect", "reject", {"reason_code": 135, **CLAIM}, first=77),
    Case("connect", "reject", {"reason_code": 151, **CLAIM}),
    Case("connect", "close-before", CLAIM),
    Case("subscribe", "reject", CLAIM, first=77),
    Case("subscribe", "reject", {"reason_code": 151, **CLAIM}),
    Case("subscribe", "close-before", CLAIM),
    Case("subscribe", "lose-answer", CLAIM, first=69, timeout="6"),
    Case("publish", "reject", REQUESTS, first=77),
    Case("publish", "close-before", REQUESTS),
    Case("publish", "lose-answer", REQUESTS),
    alike=[
        Case("connect", "reject", {"reason_code": 134, **CLAIM}, first=77),
        Case("connect", "reject", {"reason_code": 128, **CLAIM}),
        Case("connect", "reject", {"reason_code": 136, **CLAIM}),
        Case("connect", "delay", {"seconds": 1.5, **CLAIM}),
        Case("connect", "close-after", CLAIM),
        Case("connect", "lose-answer", CLAIM, first=69, timeout="6"),
        Case("subscribe", "delay", {"seconds": 1.5, **CLAIM}),
        Case("subscribe", "close-after", CLAIM),
    ],
)
def test_session_of_the_claim_under_a_fault(agent: Agent, faults: FaultClient, case: Case) -> None:
    assert_outlived(agent, faults, case)


# The proof: connecting and publishing as the thing --------------------------------------------------------------------

THING = {"client_id": "fleet*"}


@cases(
    Case("connect", "reject", {"reason_code": 135, **THING}),
    Case("connect", "close-before", THING),
    Case("publish", "reject", THING),
    Case("publish", "reject", {"reason_code": 151, **THING}),
    Case("publish", "close-before", THING),
    Case("publish", "lose-answer", THING, first=69, timeout="6"),
    Case("connect", "reject", {"calls": "every", **THING}, first=77, timeout="6"),
    Case("publish", "reject", {"calls": "every", **THING}, first=77, timeout="6"),
    alike=[
        Case("connect", "reject", {"reason_code": 151, **THING}),
        Case("connect", "close-after", THING),
        Case("connect", "delay", {"seconds": 1.5, **THING}),
        Case("publish", "close-after", THING),
        Case("publish", "delay", {"seconds": 1.5, **THING}),
    ],
)
def test_proof_under_a_fault(agent: Agent, faults: FaultClient, case: Case) -> None:
    faults.add(case.operation, case.kind, **case.parameters)
    done = agent.provision("--timeout", case.timeout)
    assert done.status == case.first, done.stderr
    tell(Seen(case.step, case.fault, case.first, 1, done.stderr))
    faults.clear()
    if case.first:
        assert agent.current_id() is None
        done = agent.provision()
        assert done.status == 0, done.stderr
    assert done.answer["proven"]
    minted = faults.certificates()
    assert len(minted) == 1
    assert_provisioned(agent, minted)


@pytest.mark.parametrize("operation", ["connect", "publish"])
def test_policy_that_spreads_after_a_while(
    agent: Agent, faults: FaultClient, operation: str
) -> None:
    """Ten seconds: AWS promises no figure."""
    assert_outlived(agent, faults, Case(operation, "policy-spread", {"seconds": 10}))


@pytest.mark.thorough
def test_topic_that_stays_refused_counts_as_proven_and_says_what_is_missing(
    fleet: Fleet, faults: FaultClient, tmp_path: Path
) -> None:
    del faults
    lacking = make_fleet(fleet.sandbox, tmp_path / "claim", device_without=["publish"])
    agent = Agent(lacking, tmp_path)
    done = agent.provision("--timeout", "100", limit=110)  # it waits a minute
    assert done.status == 0, done.stderr
    assert done.answer["proven"]
    statement = f"iot:Publish on topic/dt/{agent.thing_name}/system"
    assert statement in done.stderr


# Over a live identity -------------------------------------------------------------------------------------------------


@pytest.fixture
def provisioned(agent: Agent, faults: FaultClient) -> Iterator[Agent]:
    assert agent.provision().status == 0
    faults.clear_calls()
    yield agent
    current = agent.credentials / "current"
    identity = Provisioned(
        agent.thing_name,
        agent.current_id() or "",
        current / "certificate.pem.crt",
        current / "private.pem.key",
    )
    with connected(agent.fleet.sandbox, identity, agent.thing_name) as device:
        assert device.publish(f"dt/{agent.thing_name}/test", {}) == 0


@cases(
    Case(CREATE_FROM_CSR, "reject", {"status_code": 403}, first=77),
    Case(CREATE_FROM_CSR, "answer-other-key", first=69, minted=5, timeout="2"),
    Case(REGISTER, "reject", {"status_code": 400}, first=77),
    Case("connect", "reject", THING, first=77),
    alike=[
        Case(CREATE_FROM_CSR, "lose-answer", first=69, minted=2, timeout="4"),
        Case("publish", "reject", THING, first=77),
        Case(REGISTER, "close-after", first=69, timeout="4"),
    ],
)
def test_old_identity_stays_until_the_new_one_is_proven(
    provisioned: Agent, faults: FaultClient, case: Case
) -> None:
    before = provisioned.current_id()
    faults.add(case.operation, case.kind, calls="every", **case.parameters)
    done = provisioned.provision("--force", "--timeout", case.timeout)
    assert done.status == case.first, done.stderr
    assert provisioned.current_id() == before
    assert provisioned.provision().answer["certificate_id"] == before
    faults.clear()
    done = provisioned.provision("--force")
    assert done.status == 0, done.stderr
    assert done.answer["certificate_id"] != before
    assert provisioned.current_id() == done.answer["certificate_id"]
    assert len(faults.certificates()) <= case.minted


# `run` goes on by itself ----------------------------------------------------------------------------------------------


@pytest.mark.timeout(120)
def test_hook_that_denies_and_approves_later(agent: Agent, faults: FaultClient) -> None:
    faults.add(REGISTER, "reject", status_code=403, error_code="AccessDenied")
    with agent.running() as daemon:
        daemon.wait_for_line("RegisterThing was refused: 403")
        until(lambda: daemon.shown()["doing"].startswith("waiting for approval"), "said so", 5)
        words = "hook denies (403), and approves later"
        tell(Seen("RegisterThing", words, None, 1, daemon.log))
        daemon.wait_for_line("connected to", 60)
        assert daemon.end() == 0
    assert_provisioned(agent, faults.certificates())
    assert len(faults.certificates()) == 1


def test_run_outlives_what_ends_provision(agent: Agent, faults: FaultClient) -> None:
    faults.add("connect", "reject", reason_code=151, client_id="claim-*")
    faults.add(CREATE_FROM_CSR, "close-before")
    faults.add(REGISTER, "reject", status_code=500)
    with agent.running() as daemon:
        daemon.wait_connected()
        assert daemon.end() == 0
    assert_provisioned(agent, faults.certificates())
