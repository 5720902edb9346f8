"""The SDK's library is initialised on a thread before it is imported, where that helps, and works afterwards."""

import ctypes
import os
import resource
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from importlib.util import find_spec
from types import SimpleNamespace

import pytest

from fleet_agent.session import entropy

PROGRAM = """
import os, sys, threading
{before}
from fleet_agent.session import entropy, sdk
entropy.begin()
print(threading.active_count() - 1, "awscrt" in sys.modules)
tls = sdk.io.ClientTlsContext(sdk.io.TlsContextOptions())
print(threading.active_count() - 1, "S2N_DONT_MLOCK" in os.environ, type(tls).__name__)
locked = next(line for line in open("/proc/self/status") if line.startswith("VmLck:"))
print(locked.split()[1])
"""
TWO_CORES = "os.sched_getaffinity = lambda _: {0, 1}"


def run(before: str, agent: str) -> list[str]:
    """What the program prints, in a process of its own."""
    words = [sys.executable, "-c", PROGRAM.format(before=before)]
    return subprocess.run(
        words, check=True, capture_output=True, text=True, env={"PYTHONPATH": agent}
    ).stdout.splitlines()


@pytest.fixture
def agent(root_dir: object) -> str:
    """Where the agent is."""
    return f"{root_dir}/agent"


def test_with_a_second_core(agent: str) -> None:
    assert run(TWO_CORES, agent) == ["1 False", "0 False ClientTlsContext", "0"]


@pytest.mark.parametrize(
    "before",
    [
        "os.sched_getaffinity = lambda _: {0}",
        f"{TWO_CORES}; os.access = lambda *_: False",
        # A build that keeps s2n's functions to itself.
        f"{TWO_CORES}; import ctypes; ctypes.CDLL = lambda _: ctypes.pythonapi",
        f"{TWO_CORES}; threading.Thread.start = lambda _: (_ for _ in ()).throw(RuntimeError)",
        f"{TWO_CORES}; sys.modules['ctypes'] = None",
        f"{TWO_CORES}; import importlib.util; importlib.util.find_spec = lambda _: None",
    ],
    ids=[
        "one core",
        "no random numbers",
        "another build",
        "no more threads",
        "no ctypes",
        "no SDK's library",
    ],
)
def test_where_it_would_not_help(before: str, agent: str) -> None:
    assert run(before, agent) == ["0 False", "0 False ClientTlsContext", "0"]


def test_every_process_has_other_random_numbers(agent: str) -> None:
    """The generator is seeded, whoever has it initialised."""
    program = (
        f"import os; {TWO_CORES}\n"
        "from fleet_agent.session import entropy, sdk\n"
        "entropy.begin(); entropy.finish()\n"
        "from awscrt import crypto, io\n"
        "print(crypto.ED25519.new_generate().export_public_key(crypto.ED25519ExportFormat.RAW).hex())"
    )
    words = [sys.executable, "-c", program]
    found = {
        subprocess.run(
            words, check=True, capture_output=True, text=True, env={"PYTHONPATH": agent}
        ).stdout
        for _ in range(3)
    }
    assert len(found) == 3


class Library:
    """What is called of the SDK's library, in this process, where awscrt is imported by now."""

    def __init__(self) -> None:
        self.path = ""
        self.calls: list[tuple[object, ...]] = []

    def s2n_disable_atexit(self) -> None:
        self.calls.append(("no atexit",))

    def s2n_init(self) -> None:
        time.sleep(0.05)  # as it takes its time
        thread = threading.current_thread()
        self.calls.append((thread.name, thread.daemon, os.environ.get("S2N_DONT_MLOCK")))


@pytest.fixture
def library(monkeypatch: pytest.MonkeyPatch) -> Library:
    """The library, on four cores."""
    found = Library()

    def load(path: str) -> Library:
        found.path = path
        return found

    monkeypatch.setattr(ctypes, "CDLL", load)
    monkeypatch.setattr(os, "sched_getaffinity", {0: {0, 1, 2, 3}}.__getitem__)
    return found


def test_it_is_initialised_once_beside_the_main_thread(library: Library) -> None:
    entropy.begin()
    entropy.finish()
    awscrt = find_spec("_awscrt")
    assert awscrt is not None
    assert library.path == awscrt.origin
    assert library.calls == [("no atexit",), ("entropy", True, "1")]
    assert "S2N_DONT_MLOCK" not in os.environ
    entropy.finish()  # of nothing


@pytest.mark.parametrize(
    ("owner", "name", "value"),
    [
        (os, "sched_getaffinity", {0: {1}}.__getitem__),
        (os, "access", lambda *_: False),
        (resource, "getrlimit", {resource.RLIMIT_AS: (128 << 20, -1)}.__getitem__),
        (entropy, "find_spec", lambda _: None),
        (entropy, "find_spec", lambda _: SimpleNamespace(origin=None)),
    ],
    ids=["one core", "no random numbers", "few addresses", "no library", "a namespace"],
)
def test_nothing_is_loaded_in_vain(
    library: Library,
    monkeypatch: pytest.MonkeyPatch,
    owner: object,
    name: str,
    value: object,
) -> None:
    monkeypatch.setattr(owner, name, value)
    entropy.begin()
    entropy.finish()
    assert (library.path, library.calls) == ("", [])


def refuse(error: Exception) -> Callable[..., object]:
    """Something that cannot be called."""

    def refused(*_: object) -> object:
        raise error

    return refused


@pytest.mark.parametrize(
    ("owner", "name", "value"),
    [
        (ctypes, "CDLL", refuse(OSError("no such library"))),
        (ctypes, "CDLL", lambda _: object()),
        (threading.Thread, "start", refuse(RuntimeError("can't start new thread"))),
    ],
    ids=["not loadable", "another build", "no more threads"],
)
def test_what_fails_is_left_to_the_import(
    library: Library,
    monkeypatch: pytest.MonkeyPatch,
    owner: object,
    name: str,
    value: object,
) -> None:
    monkeypatch.setattr(owner, name, value)
    entropy.begin()
    entropy.finish()
    assert "entropy" not in [name for name, *_ in library.calls]
    assert "S2N_DONT_MLOCK" not in os.environ


def test_without_ctypes_there_is_no_thread(
    library: Library, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "ctypes", None)
    entropy.begin()
    entropy.finish()
    assert library.calls == []
