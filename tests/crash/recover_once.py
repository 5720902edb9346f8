"""Asks once for another certificate in place of a dead one, as the daemon does: recover_once.py CONFIG."""

import sys
from pathlib import Path

from fleet_agent.cli.steps import Steps
from fleet_agent.clock import SystemClock
from fleet_agent.config.load import load
from fleet_agent.errors import AgentError
from fleet_agent.identity import recover, state_lock
from fleet_agent.identity.configured import open_store
from fleet_agent.identity.in_use import in_use
from fleet_agent.process.mailbox import Mailbox


def main() -> int:
    """Asks; the error's exit status when it was in vain."""
    try:
        settings = load(Path(sys.argv[1]))
        lock = state_lock.take(settings, allow_volatile=True)
        store, clock = open_store(settings), SystemClock()
        current = in_use(store)
        assert current is not None
        done = recover.attempt(settings, store, current, Mailbox(clock), Steps(), clock)
        if isinstance(done, AgentError):
            raise done
        store.update_ledger()
        if done.session is not None:
            done.session.close()
        del lock
    except AgentError as error:
        print(error.code, error.title, file=sys.stderr)
        return int(error.exit_status)
    return 0


if __name__ == "__main__":
    sys.exit(main())
