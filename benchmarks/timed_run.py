"""``fleet-agent run`` that notes when each part of a second boot is over. Arguments: FILE, those of ``fleet-agent``.

FILE gets a line for each: its name and the moment (seconds of the clock that never steps). What is imported next is
imported here, a moment before the agent does it, so that it is told from what the agent does with it.
"""

import time

_BEGAN = time.monotonic()  # before anything is imported

import functools  # noqa: E402
import sys  # noqa: E402
from collections.abc import Callable  # noqa: E402
from typing import Any  # noqa: E402

_MARKS = sys.argv[1]


def mark(name: str, moment: float | None = None) -> None:
    """Note that a part is over."""
    # By its name each time: the fork closes what it inherits.
    with open(_MARKS, "a") as file:  # noqa: PTH123 - pathlib is not imported yet
        file.write(f"{time.monotonic() if moment is None else moment}\t{name}\n")


def wrap(
    owner: object,
    function: Callable[..., object],
    over: str,
    then: Callable[[], object] = lambda: None,
) -> None:
    """Note when a function is over that ``owner`` calls by its name, and do something before its caller continues."""
    name = function.__name__
    assert getattr(owner, name) is function, name

    @functools.wraps(function)
    def wrapped(*args: Any, **kwargs: Any) -> Any:  # noqa: ANN401
        found = function(*args, **kwargs)
        mark(over)
        then()
        return found

    setattr(owner, name, wrapped)


# By itself, not by its name: so that the type checker notices when one is renamed.
# ruff: noqa: SLF001
def _import_verb() -> None:
    from fleet_agent.cli import run as verb

    mark("imports: command line, log, configuration")
    wrap(verb, verb._kept, "configuration, as it was checked", _import_start)


def _import_start() -> None:
    from fleet_agent.daemon import start
    from fleet_agent.identity import configured, state_lock

    mark("imports: state, session")
    wrap(state_lock, state_lock.take, "state: folder and lock")
    wrap(start, configured.open_store, "state: open_store")
    wrap(start, start._in_use, "state: in_use", _import_sdk)
    wrap(start, start._connect, "session: TLS context, start", _import_rest)


def _import_sdk() -> None:
    from fleet_agent.session import entropy, sdk

    entropy.finish()
    mark("the rest of the entropy")
    _ = sdk.io, sdk.mqtt5
    mark("imports: SDK")


def _import_rest() -> None:
    from fleet_agent.daemon import composition, progress  # noqa: F401

    mark("imports: the rest of the daemon")


def main() -> None:
    """Run it."""
    mark("interpreter", _BEGAN)
    from fleet_agent.__main__ import main as run
    from fleet_agent.daemon import head_start
    from fleet_agent.process import mailbox

    mark("imports: mailbox, worker")
    wrap(head_start, head_start.begin, "a fork, and the thread for the entropy", _import_verb)
    put = mailbox.Mailbox.put

    def noted(self: mailbox.Mailbox, event: object) -> None:
        if type(event).__name__ == "Connected":
            mark("(beside) CONNACK")
        put(self, event)

    mailbox.Mailbox.put = noted  # type: ignore[method-assign]
    sys.argv[1:] = sys.argv[2:]
    run()


if __name__ == "__main__":
    main()
