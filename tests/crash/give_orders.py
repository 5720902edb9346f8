"""Takes orders as the agent does, from a cloud on disk: give_orders.py STATE_DIR CLOUD WRITER.

CLOUD is a folder that stands for AWS: ``sent`` has a line for each message that is not acknowledged yet, ``job.json``
the one job. Messages have ids and want an answer. A program appends the id of each order to ``done``; each outcome that
is published is appended to ``reported``. WRITER is ``right``, or the wrong one below.
"""

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from fleet_agent.clock import SystemClock
from fleet_agent.config.handlers import ExecHandler, Handler
from fleet_agent.config.orders import Jobs as Settings
from fleet_agent.config.subscriptions import Subscription
from fleet_agent.errors import AgentError
from fleet_agent.health.status import Health
from fleet_agent.orders.answer import Answers
from fleet_agent.orders.handler_context import HandlerContext
from fleet_agent.orders.handler_registry import FOLDER, HandlerRegistry
from fleet_agent.orders.jobs.context import JobsContext
from fleet_agent.orders.jobs.jobs import Jobs
from fleet_agent.orders.messages import Messages
from fleet_agent.orders.order import JOB, MESSAGE
from fleet_agent.orders.order_queue import OrderQueue
from fleet_agent.process.mailbox import Mailbox, Ready
from fleet_agent.session.events import Message
from fleet_agent.session.message import Outgoing
from support.reserved import NOTHING_OWN

# The wrong one: an order is acknowledged though it is in memory alone.
IN_MEMORY = "in-memory"
MESSAGES = ("0", "1", "2", "3")
STEPS = 2
DOCUMENT = {
    "version": "1.0",
    "steps": [{"action": {"name": "s", "type": "runHandler", "input": {"handler": "note"}}}]
    * STEPS,
}
LIMIT = 40.0  # seconds


class Cloud:
    """What AWS has; ``changed`` is called when that, or what was done, may have changed."""

    def __init__(self, folder: Path, changed: Callable[[], None] = lambda: None) -> None:
        self.folder = folder
        self.job: dict[str, Any] = json.loads((folder / "job.json").read_text())
        self._changed = changed

    @property
    def sent(self) -> list[str]:
        return (self.folder / "sent").read_text().split()

    def may_have_changed(self) -> None:
        """A program may have done something; nobody has noticed that yet."""
        self._changed()

    def acknowledged(self, name: str) -> None:
        """It is not sent again."""
        left = "".join(f"{message}\n" for message in self.sent if message != name)
        (self.folder / "sent.new").write_text(left)
        (self.folder / "sent.new").replace(self.folder / "sent")
        self._changed()

    def reported(self, line: str) -> None:
        with (self.folder / "told").open("a") as file:
            file.write(f"{line}\n")
        self._changed()

    def update(self, status: str, details: dict[str, str]) -> None:
        self.job |= {"status": status, "version": self.job["version"] + 1}
        (self.folder / "job.new").write_text(json.dumps(self.job))
        (self.folder / "job.new").replace(self.folder / "job.json")
        self._changed()
        if status not in ("QUEUED", "IN_PROGRESS"):
            self.reported(f"job {status} {details.get('reason', '')}")


class Device:
    """Takes everything that the cloud has, until nothing is left to do."""

    def __init__(self, state_dir: Path, cloud: Cloud) -> None:
        self._cloud = cloud
        self._clock = SystemClock()
        self._mailbox = Mailbox(self._clock)
        self._later: list[Callable[[], None]] = []
        health = Health(state_dir.parent / "run", self._clock)
        shared = HandlerContext(clock=self._clock, health=health, reserved=NOTHING_OWN)
        script = f'echo "${{FLEET_AGENT_MESSAGE_ID}}" >>{cloud.folder}/done'
        handlers = {"note": Handler(exec=ExecHandler(argv=("sh", "-c", script), max_waiting=1))}
        self._registry = HandlerRegistry(state_dir / FOLDER, handlers, self._mailbox, shared)
        answers = Answers(self._answer, ())
        shared.reporters[MESSAGE] = answers
        self._messages = Messages(self._registry, answers, health.traffic, self._clock)
        subscription = Subscription(topic="cmd", handler="note", deduplicate="property:id")
        self._messages.configure([("cmd", subscription)])
        note = self._registry.named("note")
        context = JobsContext(
            thing="t",
            path=state_dir / FOLDER / "job.json",
            send=self._publish,
            clock=self._clock,
            handler=lambda _: note,
            cancel=self._registry.cancel,
            facts=dict,
            not_kept=shared.not_kept,
        )
        self._jobs = Jobs(Settings(enabled=True, operations={"note": "note"}), (), context)
        shared.reporters[JOB] = self._jobs
        self._registry.tidy()

    def run(self) -> None:
        """Until every message is acknowledged, every outcome told, and the job over."""
        self._jobs.connected()
        for name in self._cloud.sent:
            self._messages.take(self._message(name))
        until = self._clock.monotonic() + LIMIT
        while not self._is_idle():
            now = self._clock.monotonic()
            if now > until:
                raise SystemExit("it comes to no end")
            due = min(self._registry.due, self._jobs.due)
            if self._later:
                self._later.pop(0)()
            elif now >= due:
                self._registry.act()
                self._jobs.act()
            elif isinstance(event := self._mailbox.wait(min(due, now + 0.2)), Ready):
                self._cloud.may_have_changed()
                event.act()

    def _is_idle(self) -> bool:
        handler = next(iter(self._registry))
        is_over = self._cloud.job["status"] not in ("QUEUED", "IN_PROGRESS")
        is_quiet = handler._current is None and not len(handler._queue) and not self._later
        return (
            is_over and is_quiet and not self._cloud.sent and handler.due > self._clock.monotonic()
        )

    def _message(self, name: str) -> Message:
        return Message(
            session=self,
            topic="cmd",
            payload=b"",
            response_topic=f"answers/{name}",
            user_properties=(("id", name),),
            acknowledge=lambda: self._cloud.acknowledged(name),
        )

    def _answer(self, message: Outgoing, on_end: Callable[[], None]) -> None:
        name = message.topic.removeprefix("answers/")
        said = json.loads(message.payload)
        words = f"answer {name} {said.get('error', said['status'])}"
        self._later.append(lambda: self._cloud.reported(words))
        self._later.append(on_end)

    def _publish(self, message: Outgoing) -> None:
        self._later.append(lambda: self._asked(message.topic, json.loads(message.payload)))

    def _asked(self, topic: str, request: dict[str, Any]) -> None:
        job, answer = self._cloud.job, {"clientToken": request["clientToken"]}
        is_open = job["status"] in ("QUEUED", "IN_PROGRESS")
        if topic.endswith("/update") and is_open:
            self._cloud.update(request["status"], request.get("statusDetails", {}))
        elif topic.endswith("/update"):
            self._reply(f"{topic}/rejected", answer | {"code": "InvalidStateTransition"})
            return
        elif is_open:
            if job["status"] == "QUEUED":
                self._cloud.update("IN_PROGRESS", {})
            shown = {"jobId": "j", "status": "IN_PROGRESS", "versionNumber": job["version"]}
            answer["execution"] = shown | {"jobDocument": job["document"]}
        state = {"status": job["status"], "versionNumber": job["version"]}
        self._reply(f"{topic}/accepted", answer | {"executionState": state})

    def _reply(self, topic: str, values: dict[str, Any]) -> None:
        message = Message(session=self, topic=topic, payload=json.dumps(values).encode())
        self._later.append(lambda: self._hear(message))

    def _hear(self, message: Message) -> None:
        self._jobs.take(message)


def prepare(folder: Path) -> None:
    """Lets a cloud have all of it to give."""
    folder.mkdir(parents=True)
    (folder / "sent").write_text("".join(f"{name}\n" for name in MESSAGES))
    job = {"status": "QUEUED", "version": 1, "document": DOCUMENT}
    (folder / "job.json").write_text(json.dumps(job))


def give(state_dir: Path, cloud: Cloud, writer: str = "right") -> None:
    """Has a device take them."""
    if writer == IN_MEMORY:
        OrderQueue.add = lambda line, order, **_: line.add_in_memory(order)  # type: ignore[method-assign]
    state_dir.mkdir(exist_ok=True)
    Device(state_dir, cloud).run()


def main() -> int:
    """Takes them; the error's exit status when that cannot be done."""
    state_dir, cloud, writer = sys.argv[1:]
    try:
        give(Path(state_dir), Cloud(Path(cloud)), writer)
    except AgentError as error:
        print(error.title, file=sys.stderr)
        return int(error.exit_status)
    return 0


if __name__ == "__main__":
    sys.exit(main())
