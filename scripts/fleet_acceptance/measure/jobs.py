"""AWS IoT Jobs, as a device asks for them."""

import json

from fleet_acceptance.account import tags
from fleet_acceptance.device.mqtt import Reply, Session
from fleet_acceptance.errors import NotMeasuredError
from fleet_acceptance.measure.bench import Bench
from fleet_acceptance.measure.sessions import make_device, opened

_SERIAL = "jobs"
_AFTER_SECONDS = 5.0
_TRIES = 10


def measure(bench: Bench) -> None:
    """Measures all of it, with two jobs for one thing."""
    run, thing = bench.run, bench.thing(_SERIAL)
    asked = ("none", "document", "again", "newline", "details", "version", "after-end", "order")
    facts = (*asked, "omitted")
    with run.measuring(*(f"jobs-{fact}" for fact in facts)):
        device, _ = make_device(bench, _SERIAL)
        with opened(bench, device, thing) as session:
            root = f"$aws/things/{thing}/jobs"
            none = _ask(session, f"{root}/start-next", {})
            has = "with" if "execution" in none.document else "without"
            run.record("jobs-none", f"{none.suffix} {has} execution", answer=none.document)
            _job(bench, thing)
            _started(bench, session, root)
            _updates(bench, session, f"{root}/{run.id}-bench/update", root)
            _managed(bench, session, thing)


def _job(bench: Bench, thing: str) -> None:
    bench.iot.create_job(
        jobId=f"{bench.run.id}-bench",
        targets=[bench.run.cloud.arn(f"thing/{thing}")],
        document=json.dumps({"acceptance": bench.run.id}),
        tags=tags.mine(bench.run.id),
    )


def _ask(session: Session, topic: str, request: object) -> Reply:
    reply = session.ask(topic, request)
    if reply is None:
        raise NotMeasuredError(f"no answer on {topic}")
    return reply


def _started(bench: Bench, session: Session, root: str) -> None:
    """Starts it, twice."""
    session.subscribe(f"{root}/notify-next")
    execution: dict[str, object] = {}
    for _ in range(_TRIES):
        # The job reaches its thing some time after it was made.
        reply = _ask(session, f"{root}/start-next", {})
        execution = reply.document.get("execution") or {}
        if execution:
            break
        session.next(2.0)
    if not execution:
        raise NotMeasuredError("the job did not come")
    document = execution.get("jobDocument")
    kind = "object" if isinstance(document, dict) else type(document).__name__
    bench.run.record("jobs-document", kind, execution=execution)
    again = _ask(session, f"{root}/start-next", {}).document.get("execution") or {}
    is_same = again.get("jobId") == execution.get("jobId")
    bench.run.record("jobs-again", "the same execution" if is_same else "another", execution=again)


def _updates(bench: Bench, session: Session, update: str, root: str) -> None:
    """Reports, rightly and wrongly, and ends it."""
    run = bench.run
    working = {"status": "IN_PROGRESS"}
    asked = {
        "jobs-newline": {**working, "statusDetails": {"said": "one\ntwo"}},
        "jobs-details": {**working, "statusDetails": {f"n{n}": "x" for n in range(11)}},
        "jobs-version": {**working, "expectedVersion": 99},
    }
    for fact, request in asked.items():
        reply = _ask(session, update, request)
        run.record(fact, reply.answer, answer=reply.document)
    session.subscribe(f"{root}/notify", f"{root}/notify-next")
    while session.next(0.5):  # what is still under way of what was before
        pass
    session.publish(update, {"status": "SUCCEEDED"})
    order: list[str] = []
    while message := session.next(_AFTER_SECONDS if len(order) < len(asked) else 0.2):
        order.append(message.topic.rpartition("/")[2])
    run.record("jobs-order", ", ".join(order))
    reply = _ask(session, update, {"status": "SUCCEEDED"})
    run.record("jobs-after-end", reply.answer, answer=reply.document)


def _managed(bench: Bench, session: Session, thing: str) -> None:
    """Reads the document of a job that a managed template makes; it is not carried out."""
    run, job = bench.run, f"{bench.run.id}-managed"
    bench.iot.create_job(
        jobId=job,
        targets=[run.cloud.arn(f"thing/{thing}")],
        jobTemplateArn=bench.iot.describe_managed_job_template(templateName="AWS-Reboot")[
            "templateArn"
        ],
        tags=tags.mine(run.id),
    )
    reply = _ask(session, f"$aws/things/{thing}/jobs/{job}/get", {})
    for _ in range(_TRIES):
        if "execution" in reply.document:
            break
        session.next(2.0)
        reply = _ask(session, f"$aws/things/{thing}/jobs/{job}/get", {})
    document = reply.document["execution"]["jobDocument"]
    action = document["steps"][0]["action"]
    user = action.get("runAsUser")
    words = {None: "no member", "": "an empty text"}
    found = words.get(user, "the placeholder" if "${" in str(user) else f"the text {user}")
    run.record("jobs-omitted", found, document=document)
