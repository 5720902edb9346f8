"""``fleet-agent status``: who this device is, what it does, and what is wrong."""

import argparse
import json
from pathlib import Path
from typing import Any

from fleet_agent import files, statedir
from fleet_agent.cli import flags
from fleet_agent.clock import SystemClock, text
from fleet_agent.credentials.model import Credential, Generation
from fleet_agent.credentials.store import Store

HEALTHY, UNHEALTHY, NOT_RUNNING, NOT_PROVISIONED = 0, 1, 3, 4


def register(
    subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]",
    common: argparse.ArgumentParser,
) -> None:
    """Add the verb."""
    parser = subparsers.add_parser(
        "status",
        parents=[common],
        help="show identity, daemon and problems",
        description="Exit status: 0 healthy, 1 provisioned but with a problem, 3 not running, 4 not provisioned.",
    )
    flags.add_settings(parser)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Run the verb."""
    state_dir, runtime_dir = flags.directories(arguments)
    store = Store(state_dir, SystemClock())
    credential, pending = store.current(), store.pending()
    process = statedir.holder(state_dir)
    daemon = _daemon(runtime_dir) if process is not None else None
    problems = list(daemon.get("problems", ())) if daemon else []
    status = _exit_status(credential, process, problems)
    if arguments.json:
        answer = {
            "schema": 1,
            "provisioned": credential is not None,
            "thing_name": credential.thing_name if credential else None,
            "certificate_id": credential.certificate_id if credential else None,
            "template": credential.template if credential else None,
            "proven": text(credential.proven) if credential and credential.proven else None,
            "endpoint": credential.endpoint if credential else None,
            "attempt": _attempt(pending),
            "running": process is not None,
            "daemon": daemon,
            "problems": problems,
            "state_dir": str(state_dir),
        }
        print(json.dumps(answer))
    else:
        _print_for_people(credential, pending, process, daemon)
    return status


def _exit_status(
    credential: Credential | None, process: int | None, problems: list[dict[str, str]]
) -> int:
    if credential is None:
        return NOT_PROVISIONED
    if process is None:
        return NOT_RUNNING
    return UNHEALTHY if problems else HEALTHY


def _daemon(runtime_dir: Path) -> dict[str, Any] | None:
    try:
        value = json.loads(files.read(runtime_dir / "status.json") or b"null")
    except ValueError:
        return None
    return value if isinstance(value, dict) else None


def _attempt(pending: Generation | None) -> dict[str, object] | None:
    if pending is None:
        return None
    return {
        "generation": pending.number,
        "template": pending.attempt.template,
        "method": pending.attempt.method,
        "tries": pending.attempt.tries,
        "certificate_id": pending.issued.certificate_id if pending.issued else None,
        "thing_name": pending.registration.thing_name if pending.registration else None,
    }


def _print_for_people(
    credential: Credential | None,
    pending: Generation | None,
    process: int | None,
    daemon: dict[str, Any] | None,
) -> None:
    if credential is None:
        print("thing        not provisioned")
    else:
        proven = f", proven {text(credential.proven)}" if credential.proven else ""
        print(
            f"thing        {credential.thing_name or '(none)'}  (template {credential.template}{proven})"
        )
        print(f"certificate  {credential.certificate_id}")
        print(f"endpoint     {credential.endpoint}")
    if pending is not None:
        tries = pending.attempt.tries
        times = "once" if tries == 1 else f"{tries} times"
        print(f"attempt      generation {pending.number}, tried {times}")
    print(
        f"daemon       {f'running, process {process}' if process is not None else 'not running'}"
    )
    if daemon:
        print(f"doing        {daemon.get('doing')}")
        print(
            f"readings     {daemon.get('readings_acknowledged')} acknowledged, "
            f"{daemon.get('readings_waiting')} waiting, {daemon.get('readings_dropped')} dropped"
        )
        for problem in daemon.get("problems", ()):
            print(f"problem      {problem['title']}\n             {problem['remedy']}")
