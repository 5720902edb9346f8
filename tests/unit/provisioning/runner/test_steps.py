"""What a walk does step by step, and reports of it."""

import json
from collections.abc import Callable
from pathlib import Path

from fleet_agent.clock import text
from fleet_agent.credentials import certificates, keys
from fleet_agent.credentials.model import Credential, KeyPair, Secret
from fleet_agent.errors import (
    NotAllowedError,
    StateDirectoryError,
)
from fleet_agent.provisioning.proof import Proven
from fleet_agent.provisioning.report import Milestone
from support.csr import key_pem
from support.provisioning import make_plan, plan_to_adopt
from support.runners import ID, KEY, Bench
from support.walks import current, walk


def test_every_step_is_reported_in_order_with_its_result(bench: Bench) -> None:
    done = bench.provision()
    clock, *steps = bench.report.steps
    assert clock == (Milestone.CLOCK, text(bench.clock.now - 1.0))
    assert steps == [
        (Milestone.CLAIM_SESSION, "a.example"),
        (Milestone.CERTIFICATE, ID[:12] + "…"),
        (Milestone.STORED, "0001"),
        (Milestone.REGISTERED, "pump-7"),
        (Milestone.PROVEN, "a session"),
        (Milestone.CURRENT, "0001"),
    ]
    assert bench.session is not None
    assert vars(done)["session"] is bench.session
    assert not bench.session.is_closed
    credential = current(bench.store)
    assert done.credential == credential
    proven = json.loads((bench.store.folder(1) / "proven").read_text())
    assert proven["how"] == "a session"
    assert (credential.certificate_id, credential.thing_name) == (ID, "pump-7")
    assert credential.device_configuration == {"site": "north"}
    assert bench.cloud.asked[1:] == [
        ("register", ("owner", {"SerialNumber": "7"})),
        ("prove", (ID, credential.certificate_file)),
    ]
    assert (bench.cloud.opened, bench.cloud.closed) == (1, 1)
    assert (bench.slept, bench.report.waits, bench.report.problems) == ([], [], [])


def test_a_key_that_aws_made_is_kept_with_its_certificate(tmp_path: Path) -> None:
    bench = Bench(tmp_path, make_plan("keys"))
    bench.provision()
    found = bench.store.folder(1)
    pem = (found / "certificate.pem.crt").read_text()
    kept = Secret((found / "private.pem.key").read_text())
    assert keys.signs_for(kept, certificates.public_key_of_certificate(pem, "it"), "it")


def test_a_registration_without_a_thing_and_a_policy_that_lacks_something_are_reported(
    bench: Bench,
) -> None:
    bench.cloud.thing, bench.cloud.configuration = None, {}
    bench.cloud.refused = NotAllowedError("thing", "iot:Publish", "topic/x")
    bench.provision()
    assert (Milestone.REGISTERED, "no thing") in bench.report.steps
    assert bench.report.problems == [bench.cloud.refused]


def test_the_proof_waits_if_the_session_before_it_had_the_same_client_id(tmp_path: Path) -> None:
    bench = Bench(tmp_path, pause=1.5)
    bench.provision()
    assert bench.slept == [1.5]


def test_a_walk_whose_key_is_kept_elsewhere_ends_with_the_registration(tmp_path: Path) -> None:
    csr = keys.make_csr(Secret(key_pem(KEY).decode()))
    bench = Bench(tmp_path, make_plan("csr", csr))
    done = bench.provision()
    assert done.session is None
    assert done.credential.private_key_file is None
    assert done.credential.certificate_id == ID
    assert bench.asked == ["create", "register"]
    assert bench.cloud.asked[0][1] == csr.pem
    assert bench.provision() == done
    assert bench.asked == ["create", "register"]


def test_adopting_a_certificate_asks_aws_for_nothing(tmp_path: Path) -> None:
    plan = plan_to_adopt()
    bench = Bench(tmp_path, plan)
    assert bench.provision().credential.certificate_id == "c1"
    assert bench.asked == ["prove"]
    assert bench.cloud.opened == 0
    assert [name for name, _ in bench.report.steps] == [
        Milestone.CLOCK, Milestone.STORED, Milestone.ADOPTED, Milestone.PROVEN, Milestone.CURRENT
    ]  # fmt: skip


def test_the_current_credential_stays_while_another_is_requested(bench: Bench) -> None:
    walk(bench.store, "a")
    bench.gets_to("prove")
    assert current(bench.store).certificate_id == "c-a"
    assert bench.provision().credential.generation == 2


def test_the_session_is_closed_if_the_proof_cannot_be_stored(bench: Bench) -> None:
    prove = bench.cloud.prove

    def disk_refuses(
        credential: Credential, pair: KeyPair, waiting: Callable[..., None]
    ) -> Proven:
        proof = bench.store.folder(credential.generation) / "proven"
        proof.symlink_to(bench.folder / "elsewhere")
        return prove(credential, pair, waiting)

    bench.more["prove"] = disk_refuses
    bench.fails(StateDirectoryError)
    assert bench.session is not None
    assert bench.session.is_closed
