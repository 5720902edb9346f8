"""Walks a store from an identity ``a`` to an identity ``b``, to be killed anywhere: store_walk.py STATE_DIR SCENARIO.

Exits 0, or with the exit status of the agent's own error.
"""

import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "agent"), str(ROOT / "tests")]

from fleet_agent.credentials.model import Event, Registration, Secret  # noqa: E402
from fleet_agent.credentials.store import Store  # noqa: E402
from fleet_agent.errors import AgentError  # noqa: E402
from support.clock import FakeClock  # noqa: E402
from support.walks import BY_AWS, issued, walk  # noqa: E402


def refused_token(store: Store) -> None:
    """The first certificate's token is refused, a second one is made for the same key."""
    found = walk(store, "b", "attempt", attempt=BY_AWS)
    found = store.keep_certificate(found, issued("x"), "certificate x", Secret("key x"))
    found = store.drop_certificate(found)
    found = store.keep_certificate(found, issued("b"), "certificate b", Secret("key b"))
    answer = Registration(thing_name="thing-b", device_configuration={})
    store.promote(store.mark_proven(store.keep_registration(found, answer), "in a test"))


def naive(store: Store) -> None:
    """What many clients do: write over the files in use, the ledger last."""
    folder = store.folder(1)
    for name, text in (("private.pem.key", "key b"), ("certificate.pem.crt", "certificate b")):
        with (folder / name).open("w") as file:
            file.write(text)
    store.ledger.record("c-b", Event.CURRENT, 1, 0.0)


def main() -> int:
    """Runs the scenario."""
    store = Store(Path(sys.argv[1]), FakeClock())
    try:
        match sys.argv[2]:
            case "restart":
                walk(store, "b")
            case "refused token":
                refused_token(store)
            case _:
                naive(store)
    except AgentError as error:
        return int(error.exit_status)
    return 0


if __name__ == "__main__":
    sys.exit(main())
