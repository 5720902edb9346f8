"""How long the companion takes for a fleet of N things, beside what the sandbox alone needs for the same.

For each command: seconds, processor seconds of the command, its memory, and the aim for 10,000 things; below it the
sandbox's ceiling, asked by threads (or by its own bulk task) that do nothing else, and how many times that the command
took. Then, with AWS's default quotas switched on in the sandbox, what share of the slowest one is used. The load of the
machine stands at the end; from one process a core on it is called noisy, and the figures are not worth much. Nor are
those of bulk on ext4 within five minutes of another run: making a file there passes by each one deleted lately, 30,000
of the run before, which takes ten times as long as the rest of it (TMPDIR names another file system, such as /dev/shm).

Exit status 1: an aim for so many, in proportion, is missed.
"""

import argparse
import concurrent.futures
import dataclasses
import json
import os
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509 import CertificateSigningRequestBuilder, Name, NameAttribute
from cryptography.x509.oid import NameOID

from fleet_cloud.aws.pace import QUOTAS
from iot_sandbox.launch import Sandbox, launch
from support.aws import aws_client

ROOT = Path(__file__).resolve().parent.parent
THREADS = 16
THINGS = 10_000  # that the aims are for
NOISY = 1.0  # load from which on figures are not worth much
LEAST = 3.0  # seconds that no aim in proportion falls below
MOST_OF_TASK = 1.2  # of what the sandbox needs for the task
MEGABYTES = 1024
WITH_QUOTAS = 500
LEAST_SHARE = 0.9  # of what the slowest quota allows


@dataclasses.dataclass(frozen=True)
class Run:
    """What a command took."""

    seconds: float
    processor: float
    megabytes: int


class Table:
    """What was measured, printed as it comes."""

    def __init__(self, sandbox: Sandbox, count: int) -> None:
        self._sandbox, self._count = sandbox, count
        self._last = 0.0
        self.missed: list[str] = []

    def companion(self, *words: str | Path, aim: float | None = None) -> Run:
        """Run a command and show what it took; ``aim`` in seconds, for ``THINGS``."""
        command = [sys.executable, str(ROOT / "scripts" / "fleet-cloud"), *map(str, words)]
        began = time.monotonic()
        with subprocess.Popen(
            command,
            env=os.environ | self._sandbox.environment,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        ) as process:
            _, status, used = os.wait4(process.pid, 0)
            process.returncode = os.waitstatus_to_exitcode(status)
        assert process.returncode == 0, words
        run = Run(time.monotonic() - began, used.ru_utime + used.ru_stime, used.ru_maxrss // 1024)
        shown = " ".join(str(word) for word in words if not isinstance(word, Path))
        most = max(LEAST, aim * self._count / THINGS) if aim else None
        against = f"  aim {most:5.0f} s" if most else ""
        print(
            f"{shown:<42} {run.seconds:7.1f} s {run.processor:6.1f} s of processor {run.megabytes:4} MB{against}",
            flush=True,
        )
        if (most and run.seconds > most) or run.megabytes > MEGABYTES:
            self.missed.append(f"{shown}: {run.seconds:.1f} s, {run.megabytes} MB")
        self._last = run.seconds
        return run

    def ceiling(self, what: str, call: Callable[[int], Any], count: int) -> float:
        """Show how long the sandbox takes for so many calls, and how many times that the command took."""
        began = time.monotonic()
        with concurrent.futures.ThreadPoolExecutor(THREADS) as pool:
            for _ in pool.map(call, range(count)):
                pass  # kept, the answers would count as memory of the next command: it begins as a copy of this process
        return self.beside(f"{count} x {what}", time.monotonic() - began)

    def beside(self, what: str, seconds: float) -> float:
        """Show what the sandbox alone took."""
        ratio = self._last / seconds
        print(
            f"  the sandbox alone, {what:<34} {seconds:7.1f} s, the command {ratio:5.2f} times",
            flush=True,
        )
        return ratio

    def share(self, sandbox: Sandbox, operation: str, count: int) -> None:
        """Show what share of what a quota allows the last command used."""
        per_second = QUOTAS[operation]
        share = count / (per_second * self._last + per_second)
        (refused,) = (
            one["hits"] - count for one in sandbox.faults.listed() if one["operation"] == operation
        )
        print(
            f"  the quota alone, {count} x {operation} at {per_second:g} a second:"
            f" {share:.2f} of what it allows, {refused} refused",
            flush=True,
        )
        if share < LEAST_SHARE:
            self.missed.append(f"{operation}: {share:.2f} of its quota")


def task_alone(sandbox: Sandbox, bucket: str, role: str, policy: str, count: int) -> float:
    """How long the sandbox needs for a bulk task of so many things, from its start to its report."""
    s3, iot = aws_client(sandbox, "s3"), aws_client(sandbox, "iot")
    key = ec.generate_private_key(ec.SECP256R1())
    named = Name([NameAttribute(NameOID.COMMON_NAME, "thing")])
    csr = CertificateSigningRequestBuilder().subject_name(named).sign(key, hashes.SHA256())
    pem = csr.public_bytes(serialization.Encoding.PEM).decode()
    lines = [json.dumps({"ThingName": f"alone-{number}", "CSR": pem}) for number in range(count)]
    s3.put_object(Bucket=bucket, Key="alone.jsonl", Body="\n".join(lines).encode())
    body = {
        "Parameters": {"ThingName": {"Type": "String"}, "CSR": {"Type": "String"}},
        "Resources": {
            "thing": {
                "Type": "AWS::IoT::Thing",
                "Properties": {"ThingName": {"Ref": "ThingName"}},
            },
            "certificate": {
                "Type": "AWS::IoT::Certificate",
                "Properties": {"CertificateSigningRequest": {"Ref": "CSR"}, "Status": "ACTIVE"},
            },
            "policy": {"Type": "AWS::IoT::Policy", "Properties": {"PolicyName": policy}},
        },
    }
    began = time.monotonic()
    task = iot.start_thing_registration_task(
        templateBody=json.dumps(body),
        inputFileBucket=bucket,
        inputFileKey="alone.jsonl",
        roleArn=role,
    )["taskId"]
    while iot.describe_thing_registration_task(taskId=task)["status"] == "InProgress":
        time.sleep(0.2)
    for link in iot.list_thing_registration_task_reports(taskId=task, reportType="RESULTS")[
        "resourceLinks"
    ]:
        with urllib.request.urlopen(link) as answer:
            answer.read()
    return time.monotonic() - began


def within_quotas(table: Table, sandbox: Sandbox, folder: Path, count: int) -> None:
    """Show what share of the slowest quota the companion uses; each quota has room for a second."""
    for operation, per_second in QUOTAS.items():
        sandbox.faults.add(operation, "quota", per_second=per_second, burst=per_second)
    serials, out = folder / "quota-serials", folder / "quota-bulk"
    many = count * round(QUOTAS["CreateThing"] / QUOTAS["DeleteCertificate"])
    serials.write_text("".join(f"Q{number}\n" for number in range(many)))
    ca_file = Path(sandbox.ca_file)
    table.companion("devices", "expect", serials)
    table.share(sandbox, "CreateThing", many)
    table.companion(
        *("bulk", "--count", str(count), "--prefix", "quota"),
        *("--ca-file", ca_file, "--out", out),
    )
    table.companion("bulk", "reset", "--yes", "--out", out)
    table.share(sandbox, "DeleteCertificate", count)
    sandbox.faults.clear()


def without_quotas(table: Table, sandbox: Sandbox, folder: Path, count: int) -> None:
    """Show how long each command takes, beside what the sandbox alone takes."""
    iot = aws_client(sandbox, "iot")
    serials = folder / "serials"
    serials.write_text("".join(f"S{number}\n" for number in range(count)))
    table.companion("devices", "expect", serials, aim=120.0)
    table.ceiling("CreateThing", lambda one: iot.create_thing(thingName=f"c-{one}"), count)
    table.companion("status", aim=10.0)
    table.companion("devices", "list", aim=10.0)
    pages = iot.get_paginator("list_things")
    table.ceiling(
        "ListThings, all pages",
        lambda _: sum(1 for _ in pages.paginate(maxResults=250)),
        1,
    )
    out, ca_file = folder / "bulk", Path(sandbox.ca_file)
    table.companion("bulk", "--count", str(count), "--ca-file", ca_file, "--out", out)
    account = aws_client(sandbox, "sts").get_caller_identity()["Account"]
    bucket = f"fleet-bulk-{account}-{sandbox.region}"
    role = f"arn:aws:iam::{account}:role/fleet-bulk"
    ratio = table.beside(
        f"a task of {count}", task_alone(sandbox, bucket, role, "fleet-device", count)
    )
    if count >= THINGS and ratio > MOST_OF_TASK:  # of fewer, the start of the command weighs more
        table.missed.append(f"bulk: {ratio:.2f} times the task")
    table.companion("check", "--all", "--out", out, aim=180.0)
    table.companion("bulk", "reset", "--yes", "--out", out, aim=300.0)


def main(count: int, with_quotas: int) -> int:
    """Set a fleet up, expect its devices, list them; register as many in bulk, check them, take them away."""
    before = os.getloadavg()[0]
    with tempfile.TemporaryDirectory() as name, launch(Path(name) / "sandbox") as sandbox:
        table, folder = Table(sandbox, count), Path(name)
        table.companion("up", aim=3.0)
        if count:
            without_quotas(table, sandbox, folder, count)
        if with_quotas:
            within_quotas(table, sandbox, folder, with_quotas)
    after = os.getloadavg()[0]
    # The measured work keeps two processes busy itself, so the load from before is what counts.
    noisy = ", noisy" if before > NOISY else ""
    print(
        f"{count} things, {os.cpu_count()} cores, load {before:.1f} before, {after:.1f} after{noisy}"
    )
    for words in table.missed:
        print(f"missed: {words}", file=sys.stderr)
    return 1 if table.missed else 0


def _number(word: str) -> int:
    if not word.isdigit():
        raise argparse.ArgumentTypeError(f"no number of things: {word}")
    return int(word)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="benchmarks/cloud", description=__doc__)
    for name, default, words in (
        ("count", THINGS, "things"),
        ("with_quotas", WITH_QUOTAS, "things with quotas, which take ten a second"),
    ):
        parser.add_argument(
            name,
            nargs="?",
            type=_number,
            default=default,
            metavar="N",
            help=f"{words} ({default}); 0: none",
        )
    return parser.parse_args()


if __name__ == "__main__":
    arguments = _arguments()
    sys.exit(main(arguments.count, arguments.with_quotas))
