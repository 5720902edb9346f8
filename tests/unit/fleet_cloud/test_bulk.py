"""A bulk registration's folder, its reports and its task, as far as they need no cloud."""

import dataclasses
import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from fleet_cloud.aws.calls import Aws, Options
from fleet_cloud.aws.names import Account, BulkNames, FleetNames
from fleet_cloud.bulk import layout, registration, tasks
from fleet_cloud.bulk.layout import BulkFolder, Record
from fleet_cloud.bulk.registration import Registration
from fleet_cloud.console import Console
from fleet_cloud.errors import FleetCloudError, UsageError
from fleet_cloud.local import keys
from fleet_cloud.local.shell import Shell
from fleet_cloud.options import Context

CALLER = "arn:aws:iam::123456789012:user/operator"
Programs = Callable[[str, str], Path]
RECORD = Record(
    fleet="city",
    account="123456789012",
    region="eu-west-1",
    prefix="bin",
    thing_type="bin",
    count=2,
    shared=False,
)


def openssl(*words: str | Path) -> str:
    done = subprocess.run(["openssl", *words], check=True, capture_output=True, text=True)
    return done.stdout


def test_record_is_read_back_and_a_larger_count_goes_on_with_it(tmp_path: Path) -> None:
    folder = BulkFolder(tmp_path)
    assert folder.read() is None
    folder.write(dataclasses.replace(RECORD, key="k", task="t"))
    wanted = dataclasses.replace(RECORD, count=5)
    found = layout.continued(folder.read(), wanted, tmp_path)
    assert (found.count, found.key, found.task) == (5, "k", "t")
    assert found.things == ["bin-1", "bin-2", "bin-3", "bin-4", "bin-5"]
    fewer = layout.continued(found, dataclasses.replace(RECORD, count=1), tmp_path)
    assert fewer.count == 5  # what is registered stays in the record


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"fleet": 1, "more": 2}', "\x00"])
def test_record_that_is_none_is_told(tmp_path: Path, text: str) -> None:
    (tmp_path / "bulk.json").write_text(text)
    with pytest.raises(FleetCloudError, match="is not a record of a bulk registration"):
        BulkFolder(tmp_path).read()


@pytest.mark.parametrize("change", [{"fleet": "x"}, {"region": "x"}, {"shared": True}])
def test_folder_of_another_registration_is_refused(
    tmp_path: Path, change: dict[str, object]
) -> None:
    other = Record(**{**dataclasses.asdict(RECORD), **change})
    with pytest.raises(UsageError):
        layout.continued(RECORD, other, tmp_path)


def test_things_without_a_certificate_are_pending_and_clear_leaves_others_files(
    tmp_path: Path,
) -> None:
    folder = BulkFolder(tmp_path / "bulk")
    made = folder.certificate("bin-1")
    made.parent.mkdir(parents=True)
    made.write_text("a certificate")
    cut_off = folder.certificate("bin-2")
    cut_off.parent.mkdir()
    cut_off.touch()  # as a power cut may leave it
    assert folder.pending(RECORD) == ["bin-2"]
    mine = folder.path / "things" / "notes.txt"
    mine.touch()
    folder.clear(RECORD)
    assert [*folder.path.rglob("*")] == [mine.parent, mine]


def test_certificate_and_request_over_one_key_are_matched_wherever_the_report_has_them(
    tmp_path: Path,
) -> None:
    curve = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes")
    key, other = tmp_path / "key", tmp_path / "other"
    request = openssl("req", "-new", *curve, "-keyout", key, "-subj", "/CN=a")
    certificate = openssl("req", "-x509", "-key", key, "-subj", "/CN=b")
    stranger = openssl("req", "-x509", *curve, "-keyout", other, "-subj", "/CN=c")
    lines = [
        json.dumps({"response": {"CertificatePem": certificate}}),
        "not JSON",
        json.dumps([{"ResourceArns": {"thing": "arn:aws:iot:r:1:thing/bin-1"}}, stranger]),
    ]
    found = [*layout.certificates_in(lines)]
    assert found == [certificate, stranger]
    assert layout.public_key(request) == layout.public_key(certificate)
    assert layout.public_key(request) != layout.public_key(stranger)
    assert layout.public_key("no PEM") is None
    assert layout.things_in(lines) == {"bin-1"}


def aws() -> Aws:
    console = Console(as_json=False, is_verbose=False)
    options = Options(profile=None, region="eu-west-1", endpoint_url=None)
    return Aws(Shell(console, dry_run=False), options)


def test_task_is_waited_for_with_its_progress_told_once_each(
    programs: Programs, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    said = [("InProgress", 10), ("InProgress", 10), ("InProgress", 60), ("Completed", 100)]
    lines = [json.dumps({"status": each, "percentageProgress": part}) for each, part in said]
    (tmp_path / "said").write_text("\n".join(lines) + "\n")
    programs("aws", f"head -n 1 {tmp_path}/said; sed -i 1d {tmp_path}/said")
    pauses: list[float] = []
    assert tasks.wait(aws(), "t", pauses.append)["status"] == "Completed"
    assert len(pauses) == 3
    printed = [line.strip() for line in capsys.readouterr().err.splitlines()]
    assert printed == ["registering: 10 %", "registering: 60 %"]


def test_task_of_somebody_else_under_way_is_named(programs: Programs) -> None:
    programs("aws", 'echo \'{"taskIds": ["t-9"]}\'')
    with pytest.raises(FleetCloudError, match="t-9") as refused:
        tasks.check_none_runs(aws())
    assert "describe-thing-registration-task" in refused.value.remedy


def test_report_that_cannot_be_fetched_is_told(programs: Programs) -> None:
    programs("aws", 'echo \'{"resourceLinks": ["http://127.0.0.1:9/x", "file:///etc/passwd"]}\'')
    with pytest.raises(FleetCloudError) as failed:
        tasks.report(aws(), "t", "RESULTS")
    assert failed.value.code == "report-unreachable"


def test_things_are_registered_in_parts_the_first_a_small_one_and_each_once() -> None:
    things = [str(number) for number in range(10_000)]
    parts = [*registration.parts(things)]
    assert [len(part) for part in parts] == [500, 1500, 3000, 3000, 2000]
    assert [thing for part in parts for thing in part] == things
    assert [*registration.parts(["a"])] == [["a"]]


def test_what_a_run_that_was_cut_off_had_not_saved_is_saved_by_the_next(
    programs: Programs, tmp_path: Path
) -> None:
    folder, asked, made = BulkFolder(tmp_path), [], {}
    folder.make()
    for thing in RECORD.things:
        key = folder.key(thing)
        key.parent.mkdir(parents=True)
        request = keys.key_and_request(key, thing)
        asked.append(json.dumps({"ThingName": thing, "CSR": request}))
        made[thing] = openssl("req", "-x509", "-key", key, "-subj", "/CN=AWS")
    folder.parameters("bin-1.jsonl").write_text("\n".join(asked))
    report = [json.dumps({"response": {"CertificatePem": made[thing]}}) for thing in made]
    folder.results("bin-1.jsonl").write_text("\n".join(reversed(report)))
    folder.parameters("bin-2.jsonl").write_text(asked[0])  # no task was started for it
    folder.certificate("bin-1").write_text("saved")
    folder.certificate("bin-2").touch()  # as a power cut may leave it

    programs("aws", "exit 1")  # nothing is asked
    calls = aws()
    bulk = BulkNames(FleetNames("city"), Account.of_caller(CALLER, "eu-west-1"))
    context = Context(
        console=calls.shell.console,
        shell=calls.shell,
        names=bulk.names,
        aws_options=Options(profile=None, region="eu-west-1", endpoint_url=None),
    )
    done = Registration(context, calls, bulk, folder).run(RECORD)
    assert (done.made, done.left) == (1, [])
    assert folder.certificate("bin-1").read_text() == "saved"
    assert folder.certificate("bin-2").read_text() == made["bin-2"]
    assert folder.certificate("bin-2").stat().st_mode & 0o777 == 0o600
    assert folder.kept() == []


def test_what_is_kept_of_tasks_is_listed_and_cleared_and_nothing_else(tmp_path: Path) -> None:
    folder = BulkFolder(tmp_path / "bulk")
    folder.make()
    assert folder.path.stat().st_mode & 0o777 == 0o700
    for path in (folder.parameters("bin-2.jsonl"), folder.results("bin-1.jsonl")):
        path.write_text("{}")
    mine = folder.path / "tasks" / "notes.results"
    mine.touch()
    assert folder.kept() == ["bin-1.jsonl", "bin-2.jsonl"]
    folder.clear(RECORD)
    assert [*folder.path.rglob("*")] == [mine.parent, mine]


def test_parameters_that_bulk_did_not_write_are_told(tmp_path: Path) -> None:
    folder = BulkFolder(tmp_path)
    folder.make()
    folder.parameters("bin-1.jsonl").write_text('{"ThingName": ["bin-1"]}')
    with pytest.raises(FleetCloudError, match="was not written by bulk"):
        layout.made(folder, "bin-1.jsonl")


def test_request_over_a_key_that_is_there_is_openssls_and_other_keys_are_left_to_it(
    tmp_path: Path,
) -> None:
    key, rsa = tmp_path / "key", tmp_path / "rsa"
    openssl("ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out", key)
    made = keys.request(key, "bin-1")
    wanted = openssl("req", "-new", "-key", key, "-subj", "/CN=bin-1")
    assert made
    assert layout.public_key(made) == layout.public_key(wanted)
    (tmp_path / "made").write_text(made)
    subject = openssl("req", "-in", tmp_path / "made", "-verify", "-noout", "-subject")
    assert "CN = bin-1" in subject.replace("CN=", "CN = ")
    openssl("genpkey", "-quiet", "-algorithm", "RSA", "-out", rsa)
    assert keys.request(rsa, "bin-1") is None
    (tmp_path / "none").write_text("no key")
    assert keys.request(tmp_path / "none", "bin-1") is None
