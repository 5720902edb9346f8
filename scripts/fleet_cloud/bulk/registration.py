"""One run of a bulk registration: finish an earlier task, make keys and requests, start a task, save what it made."""

import concurrent.futures
import dataclasses
import json
import os
from collections.abc import Iterator, Sequence
from concurrent.futures import Future

from fleet_cloud.aws.calls import Aws, text
from fleet_cloud.aws.names import BulkNames
from fleet_cloud.bulk import cloud, layout, script, tasks
from fleet_cloud.bulk.layout import SHARED, BulkFolder, Record
from fleet_cloud.local import files, keys, openssl
from fleet_cloud.options import Context
from fleet_cloud.plan.reconcile import ensure

# Of openssl at a time, where keys and requests are not made in this process. What is made in it is made by one thread:
# two would wait for the interpreter more than they do.
_PROCESSES = 2
_MAKING, _SAVING = "making keys and requests", "saving certificates"
# The first part is small, so that the first task begins soon; the next is made in less time than that takes, and so on.
# None is very large: the certificates of the last are saved while nothing else happens.
_FIRST_PART, _GROWTH, _MOST_PART = 500, 3, 3000


@dataclasses.dataclass(frozen=True)
class Progress:
    """How far a run came: things made by it, things still without a certificate, lines that AWS IoT refused."""

    made: int
    left: list[str]
    errors: list[str]


class Registration:
    """One run of bulk registration."""

    def __init__(self, context: Context, aws: Aws, bulk: BulkNames, folder: BulkFolder) -> None:
        self._shell, self._console = context.shell, context.console
        self._aws, self._bulk, self._folder = aws, bulk, folder

    def run(self, record: Record) -> Progress:
        """Finishes an earlier task, then registers what is pending."""
        before = pending = self._folder.pending(record)
        errors: list[str] = []
        if not self._shell.dry_run:
            if record.key:
                errors = self._finish(record)
                self._folder.write(_without_task(record))
            if kept := self._folder.kept():
                for key in kept:
                    self._save(record, key, _SAVING)
                pending = self._folder.pending(record)
        record = _without_task(record)
        if pending:
            self._prepare(record)
            if self._shell.dry_run:
                script.show(self._aws, self._bulk, self._folder, record, pending)
                return Progress(0, pending, [])
            errors = self._register(record, pending)
            pending = self._folder.pending(record)
        return Progress(len(before) - len(pending), pending, errors)

    def _prepare(self, record: Record) -> None:
        wanted = cloud.prerequisites(self._aws, self._bulk, record.thing_type)
        answers = self._aws.ask_all([resource.read for resource in wanted])
        tasks.check_none_runs(self._aws)
        for resource, answer in zip(wanted, answers, strict=True):
            ensure(self._aws, resource, answer)

    def _register(self, record: Record, pending: list[str]) -> list[str]:
        """Registers part by part: while AWS IoT is at one, the next is made ready and the one before saved."""
        self._folder.make()
        self._folder.write(record)
        first, *others = [pending] if record.shared else parts(pending)
        errors: list[str] = []
        saving: Future[None] | None = None
        ready = self._ready(record, first, _MAKING)
        with concurrent.futures.ThreadPoolExecutor(1) as background:
            for part in [*others, None]:
                started = self._start(record, ready)
                making = background.submit(self._ready, record, part, "") if part else None
                errors += self._finish(started)
                if saving:
                    saving.result()
                saving = background.submit(self._save, record, ready, "" if part else _SAVING)
                ready = making.result() if making else ""
            self._folder.write(record)
        if saving:
            saving.result()
        return errors

    def _ready(self, record: Record, part: list[str], doing: str) -> str:
        """Makes what a part needs and puts its parameters where AWS IoT reads them; returns their key there."""
        lines = self._shared_lines(part) if record.shared else self._lines(part, doing)
        key = tasks.new_key(record.prefix)
        parameters = self._folder.parameters(key)
        files.write_public(parameters, "".join(f"{json.dumps(line)}\n" for line in lines))
        os.sync()  # the keys, before there is anything that they belong to
        self._aws.change(tasks.upload(self._aws, self._bulk, key, parameters))
        return key

    def _start(self, record: Record, key: str) -> Record:
        """Starts the task for what is ready; returns the record that knows it."""
        record = dataclasses.replace(record, key=key)
        self._folder.write(record)  # before the task: a run cut off here finds it by its key
        body = cloud.template(self._bulk, record.thing_type, shared=record.shared)
        self._aws.change(tasks.start(self._aws, self._bulk, key, body))
        record = dataclasses.replace(record, task=self._shell.value(tasks.TASK))
        self._folder.write(record)
        return record

    def _finish(self, record: Record) -> list[str]:
        """Waits for the task and keeps its report, so that the record may forget it; returns its errors."""
        task = record.task or tasks.find(self._aws, record.key)
        if not task:
            return []
        ended = tasks.wait(self._aws, task)
        if text(ended, "status") != "Completed":
            self._console.say(f"  the task ended as {ended['status']}: {ended.get('message', '')}")
        results = tasks.report(self._aws, task, "RESULTS")
        files.write_public(
            self._folder.results(record.key), "".join(f"{line}\n" for line in results)
        )
        return tasks.report(self._aws, task, "ERRORS")

    def _save(self, record: Record, key: str, doing: str) -> None:
        """Saves what the task with these parameters made, if it was started; nothing of it is needed then."""
        if record.shared:
            results = files.read(self._folder.results(key)) or ""
            self._save_shared(record, layout.things_in(results.splitlines()))
        else:
            self._console.spread(self._save_one, layout.made(self._folder, key), doing, 1)
        os.sync()  # before the only copy goes
        self._folder.forget(key)

    def _save_one(self, made: tuple[str, str]) -> None:
        thing, pem = made
        certificate = self._folder.certificate(thing)
        if not files.is_whole(certificate):
            files.remove(certificate)
            files.create_secret(certificate, pem, is_synced=False)

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
        requests = self._console.spread(
            self._request, pending, doing, 1 if keys.can_make() else _PROCESSES
        )
        return [
            {"ThingName": thing, "CSR": request}
            for thing, request in zip(pending, requests, strict=True)
        ]

    def _request(self, thing: str) -> str:
        key = self._folder.key(thing)
        files.make_folder(key.parent, 0o700)
        is_here = keys.can_make()
        if files.is_whole(key):
            command = openssl.make_request(key, thing)
            made = keys.request(key, thing) if is_here else None
            return made or self._shell.run(command)
        files.remove(key)
        command = openssl.make_key_and_request(key, thing)
        if not is_here:
            return self._shell.change(command)
        self._console.running(command)
        return keys.key_and_request(key, thing)

    def _shared_lines(self, pending: list[str]) -> list[dict[str, str]]:
        identifier = script.shared_certificate(self._aws, self._folder)
        return [{"ThingName": thing, "CertificateId": identifier} for thing in pending]


def _without_task(record: Record) -> Record:
    return dataclasses.replace(record, key="", task="")


def parts(pending: Sequence[str]) -> Iterator[list[str]]:
    """Yields things in parts, the first a small one."""
    begin, size = 0, _FIRST_PART
    while begin < len(pending):
        yield [*pending[begin : begin + size]]
        begin, size = begin + size, min(_MOST_PART, size * _GROWTH)
