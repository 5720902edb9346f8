"""The SDK's library is initialised on a thread before it is imported, where that helps, and works afterwards."""

import subprocess
import sys

import pytest

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
