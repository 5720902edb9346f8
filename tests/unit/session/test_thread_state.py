"""The state that Python has for a thread of the SDK's stays from one callback to the next."""

import sys
import threading
from collections.abc import Callable

import pytest
from awscrt import http, io

from fleet_agent.session import thread_state


@pytest.fixture
def call_back() -> Callable[[Callable[[], object]], None]:
    """Calls a function on a thread of the SDK's, which makes it for that: the same one each time."""
    group = io.EventLoopGroup(1)
    bootstrap = io.ClientBootstrap(group, io.DefaultHostResolver(group))

    def call(act: Callable[[], object]) -> None:
        over = threading.Event()

        def acted(_: object) -> None:
            act()
            over.set()

        # Nobody listens on this port: the attempt ends with a callback.
        future = http.HttpClientConnection.new("127.0.0.1", 1, bootstrap=bootstrap)
        future.add_done_callback(acted)
        assert over.wait(10)

    return call


def test_it_is_kept(call_back: Callable[[Callable[[], object]], None]) -> None:
    marked = threading.local()
    found: list[tuple[int, bool]] = []

    def look() -> None:
        found.append((threading.get_ident(), hasattr(marked, "before")))
        marked.before = True

    def look_and_keep() -> None:
        look()
        thread_state.keep()
        thread_state.keep()

    for act in (look, look_and_keep, look, look):
        call_back(act)
    assert len({thread for thread, _ in found}) == 1
    assert threading.get_ident() not in dict(found)
    # What marked it was gone with the first two.
    assert [is_marked for _, is_marked in found] == [False, False, True, True]


def test_without_ctypes_it_is_not(
    call_back: Callable[[Callable[[], object]], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "ctypes", None)
    over: list[bool] = []

    def keep() -> None:
        thread_state.keep()
        over.append(True)

    call_back(keep)
    assert over == [True]
