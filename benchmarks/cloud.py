"""How long the companion takes for a fleet of N things, beside what the sandbox alone needs for the same.

For each command: seconds, processor seconds of the command, its memory, and the aim for 10,000 things; below it the
sandbox's ceiling, asked by threads (or by its own bulk task) that do nothing else, and how many times that the command
took. Argument: N (10000). The exit status is 1 when an aim for so many, in proportion, is missed.
"""

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

from iot_sandbox.launch import Sandbox, launch
from support.aws import aws_client

ROOT = Path(__file__).resolve().parent.parent
THREADS = 16
THINGS = 10_000  # that the aims are for
LEAST = 3.0  # seconds that no aim in proportion falls below
MOST_OF_TASK = 1.2  # of what the sandbox needs for the task
MEGABYTES = 1024


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


def main(count: int) -> int:
    """Set a fleet up, expect its devices, list them; register as many in bulk, check them, take them away."""
    with tempfile.TemporaryDirectory() as name, launch(Path(name) / "sandbox") as sandbox:
        folder, iot = Path(name), aws_client(sandbox, "iot")
        table = Table(sandbox, count)
        table.companion("up", aim=3.0)
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
        if ratio > MOST_OF_TASK:
            table.missed.append(f"bulk: {ratio:.2f} times the task")
        table.companion("check", "--all", "--out", out, aim=180.0)
        table.companion("bulk", "reset", "--yes", "--out", out, aim=300.0)
    for words in table.missed:
        print(f"missed: {words}", file=sys.stderr)
    return 1 if table.missed else 0


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]) if len(sys.argv) > 1 else THINGS))
