"""Puts a bundle for support into S3: `fleet-agent doctor --bundle s3://…`, in a program of its own."""

import json
import os
import sys
from collections.abc import Mapping

from fleet_agent.clock import Clock
from fleet_agent.config.handlers import ExecHandler, UploadBundle
from fleet_agent.orders.handlers import exec as programs
from fleet_agent.orders.handlers.exec import ExecWork
from fleet_agent.orders.order import Order
from fleet_agent.orders.outcome import Outcome
from fleet_agent.process.mailbox import Mailbox
from fleet_agent.programs.child import Ended

_LONGEST = 256 * 1024  # bytes of the doctor's answer
# What says which configuration this agent has, and where AWS is, where that is somewhere else.
_PASSED = (
    "FLEET_AGENT_CONFIG",
    "RUNTIME_DIRECTORY",
    "AWS_ENDPOINT_URL",
    "AWS_ENDPOINT_URL_S3",
    "AWS_REGION",
)


class UploadWork(ExecWork):
    """Runs the doctor; its payload is not looked at.

    Args:
        wanted: Where to.
        name: The handler's name.
        mailbox: Where the program is watched.
        clock: For its time limit.
    """

    def __init__(self, wanted: UploadBundle, name: str, mailbox: Mailbox, clock: Clock) -> None:
        argv = [sys.executable, "-m", "fleet_agent", "doctor", "--json", "--bundle", wanted.to]
        argv += ["--role-alias", wanted.role_alias] if wanted.role_alias else []
        handler = ExecHandler(argv=tuple(argv), timeout=wanted.timeout, max_answer=_LONGEST)
        super().__init__(handler, name, mailbox, clock)

    def _environment(self, order: Order) -> Mapping[str, str]:
        passed = {name: os.environ[name] for name in _PASSED if name in os.environ}
        return {**programs.environment(order, self._name), **passed}

    def _outcome(self, how: Ended) -> Outcome:
        """Returns where the bundle is; problems that the doctor found are in it, and no failure of the order."""
        found = super()._outcome(how)
        try:
            answer = json.loads(found.stdout or b"")
            bundle = answer["bundle"]
        except (ValueError, LookupError, TypeError):
            return found
        return Outcome(stdout=json.dumps({"bundle": bundle}).encode())
