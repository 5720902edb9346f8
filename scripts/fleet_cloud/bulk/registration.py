"""One run of a bulk registration: finish an earlier task, make keys and requests, start a task, save what it made."""

import concurrent.futures
import contextlib
import dataclasses
import json
import os
from collections.abc import Iterator, Sequence

from fleet_cloud.aws.calls import Aws, text
from fleet_cloud.aws.names import BulkNames
from fleet_cloud.bulk import cloud, layout, script, tasks
from fleet_cloud.bulk.layout import SHARED, BulkFolder, Record
from fleet_cloud.console import Console
from fleet_cloud.errors import FleetCloudError
from fleet_cloud.local import files, keys, openssl
from fleet_cloud.local.json_text import parsed
from fleet_cloud.options import Context
from fleet_cloud.plan.reconcile import ensure

# Keys take the interpreter in turn, and more would only wait for it; what one writes, the other does not wait for.
_WRITERS = 2
_MAKING = "making keys and requests"
# The first part is small, so that the first task begins soon; the second takes about as long to be made as the first to
# be registered. None is larger: the certificates of the last are saved while nothing else goes on.
_FIRST_PART, _MOST_PART = 1000, 3000


@dataclasses.dataclass(frozen=True)
class Done:
    """How far it came: things made now, things still without a certificate, lines that AWS IoT refused."""

    made: int
    left: list[str]
    errors: list[str]


class Registration:
    """One run."""

    def __init__(self, context: Context, aws: Aws, bulk: BulkNames, folder: BulkFolder) -> None:
        self._shell, self._console = context.shell, context.console
        self._aws, self._bulk, self._folder = aws, bulk, folder

    def run(self, record: Record) -> Done:
        """Finishes an earlier task, then registers what is pending."""
        before = self._folder.pending(record)
        errors: list[str] = []
        if not self._shell.dry_run:
            save(self._folder, self._console)
            errors = self._finish(record) if record.key else []
            save(self._folder, self._console)
        record = dataclasses.replace(record, key="", task="")
        pending = self._folder.pending(record)
        if pending:
            self._prepare(record)
            if self._shell.dry_run:
                script.show(self._aws, self._bulk, self._folder, record, pending)
                return Done(0, pending, [])
            errors = self._register(record, pending)
        left = self._folder.pending(record)
        return Done(len(before) - len(left), left, errors)

    def _prepare(self, record: Record) -> None:
        wanted = cloud.needed(self._aws, self._bulk, record.thing_type)
        answers = self._aws.ask_all([resource.read for resource in wanted])
        tasks.check_none_runs(self._aws)
        for resource, answer in zip(wanted, answers, strict=True):
            ensure(self._aws, resource, answer)

    def _register(self, record: Record, pending: list[str]) -> list[str]:
        """Registers part by part: while AWS IoT is at one, the next is made ready and the one before saved."""
        files.make_folder(self._folder.path, 0o700)
        self._folder.write(record)
        first, *others = [pending] if record.shared else parts(pending)
        errors: list[str] = []
        with concurrent.futures.ThreadPoolExecutor(1) as ahead:
            lines = self._shared_lines(first) if record.shared else self._lines(first, _MAKING)
            for part in [*others, None]:
                started = self._start(record, lines)
                making = ahead.submit(self._lines, part, "") if part else None
                save(self._folder, self._console)
                errors += self._finish(started)
                lines = making.result() if making else []
        save(self._folder, self._console)
        return errors

    def _start(self, record: Record, lines: list[dict[str, str]]) -> Record:
        """Starts the task for these lines; returns the record that knows it."""
        parameters = self._folder.parameters
        files.write_public(parameters, "".join(f"{json.dumps(line)}\n" for line in lines))
        os.sync()  # the keys, before there is anything that they belong to
        record = dataclasses.replace(record, key=tasks.new_key(record.prefix))
        self._aws.change(tasks.upload(self._aws, self._bulk, record.key, parameters))
        self._folder.write(record)  # before the task: a run cut off here finds it by its key
        body = cloud.template(self._bulk, record.thing_type, shared=record.shared)
        self._aws.change(tasks.start(self._aws, self._bulk, record.key, body))
        record = dataclasses.replace(record, task=self._shell.value(tasks.TASK))
        self._folder.write(record)
        return record

    def _finish(self, record: Record) -> list[str]:
        """Waits for the task and keeps what it made, which is saved next; returns the lines of its error report."""
        task = record.task or tasks.find(self._aws, record.key)
        errors: list[str] = []
        if task:
            ended = tasks.wait(self._aws, task)
            if text(ended, "status") != "Completed":
                self._console.say(
                    f"  the task ended as {ended['status']}: {ended.get('message', '')}"
                )
            errors = tasks.report(self._aws, task, "ERRORS")
            results = tasks.report(self._aws, task, "RESULTS")
            if record.shared:
                self._save_shared(record, layout.things_in(results))
            else:
                self._keep(results)
        self._folder.write(dataclasses.replace(record, key="", task=""))
        return errors

    def _keep(self, results: list[str]) -> None:
        """Writes the certificates into one file: the record may forget the task then, and the next one begin."""
        found = {layout.public_key(pem): pem for pem in layout.certificates_in(results)}
        kept = []
        for line in (files.read(self._folder.parameters) or "").splitlines():
            asked = _entry(line)
            if made := found.get(layout.public_key(asked.get("CSR", ""))):
                kept.append({"ThingName": asked.get("ThingName", ""), "Certificate": made})
        files.write_public(self._folder.unsaved, "".join(f"{json.dumps(one)}\n" for one in kept))

    def _save_shared(self, record: Record, registered: set[str]) -> None:
        pem, key = (
            files.read(path)
            for path in (self._folder.certificate(SHARED), self._folder.key(SHARED))
        )
        for thing in self._folder.pending(record):
            if pem and key and thing in registered:
                files.make_folder(self._folder.key(thing).parent, 0o700)
                if not self._folder.key(thing).exists():
                    files.create_secret(self._folder.key(thing), key)
                files.create_secret(self._folder.certificate(thing), pem)

    def _lines(self, pending: list[str], doing: str) -> list[dict[str, str]]:
        requests = self._console.spread(self._request, pending, doing, _WRITERS)
        return [
            {"ThingName": thing, "CSR": request}
            for thing, request in zip(pending, requests, strict=True)
        ]

    def _request(self, thing: str) -> str:
        key = self._folder.key(thing)
        files.make_folder(key.parent, 0o700)
        if files.is_whole(key):
            return self._shell.run(openssl.make_request(key, thing))
        files.remove(key)
        command = openssl.make_key_and_request(key, thing)
        if not keys.can_make():
            return self._shell.change(command)
        self._console.verbose(f"+ {command}")
        return keys.key_and_request(key, thing)

    def _shared_lines(self, pending: list[str]) -> list[dict[str, str]]:
        identifier = script.shared_certificate(self._aws, self._folder)
        return [{"ThingName": thing, "CertificateId": identifier} for thing in pending]


def save(folder: BulkFolder, console: Console) -> None:
    """Saves each certificate that is kept, by this run or one that was cut off, beside its key."""
    kept = (files.read(folder.unsaved) or "").splitlines()
    if not kept:
        return

    def save_one(line: str) -> None:
        made = _entry(line)
        certificate = folder.certificate(made.get("ThingName", ""))
        if not files.is_whole(certificate):
            files.remove(certificate)
            files.create_secret(certificate, made.get("Certificate", ""), is_synced=False)

    console.spread(save_one, kept, "saving certificates", _WRITERS)
    os.sync()  # before the only copy goes
    files.remove(folder.unsaved)


def parts(pending: Sequence[str]) -> Iterator[list[str]]:
    """Yields things in parts, the first a small one."""
    begin, size = 0, _FIRST_PART
    while begin < len(pending):
        yield [*pending[begin : begin + size]]
        begin, size = begin + size, _MOST_PART


def _entry(line: str) -> dict[str, str]:
    """Returns one line of a file of ours: of the parameters, or of what is not saved yet.

    Raises:
        FleetCloudError: Somebody has written something else.
    """
    with contextlib.suppress(ValueError):
        found = parsed(line)
        if isinstance(found, dict) and all(isinstance(value, str) for value in found.values()):
            return found
    raise FleetCloudError(
        f"a line of a file in that folder is not what bulk wrote: {line[:80]!r}",
        remedy="choose another --out",
        code="record-unreadable",
    )
