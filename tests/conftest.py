"""Fixtures every test may ask for. The sandbox starts with the first test that does, one per pytest worker."""

import os
import random
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from fleet_agent.statedir.filesystem import kind_of
from iot_sandbox.client import FaultClient
from iot_sandbox.launch import Sandbox, launch

if TYPE_CHECKING:
    from support.fleets import Fleet


_ON_DISK = Path("/var/tmp")


def pytest_addoption(parser: pytest.Parser) -> None:
    """How long to fuzz."""
    parser.addoption(
        "--fuzz",
        type=int,
        default=1,
        metavar="N",
        help="fuzz with N times as many examples as otherwise (tests/fuzz: about a minute)",
    )


def pytest_configure(config: pytest.Config) -> None:
    """What is chosen by chance is the same in every worker, and can be chosen again; folders lie on a disk."""
    os.environ["FUZZ"] = str(config.getoption("--fuzz"))
    os.environ.setdefault("CRASH_SEED", str(random.randrange(10**6)))
    # Where /tmp is in memory, as on Debian 13, the agent says so of every state directory there.
    if kind_of(Path(tempfile.gettempdir())) == "tmpfs" and kind_of(_ON_DISK) != "tmpfs":
        os.environ["TMPDIR"] = str(_ON_DISK)
        tempfile.tempdir = None


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Says the seed, whatever became of the tests."""
    terminalreporter.write_line(f"CRASH_SEED={os.environ['CRASH_SEED']} for the same crash points")


@pytest.fixture(scope="session", autouse=True)
def nothing_secret_is_left(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """After the last test: no secret in anything shown, and no core dump, in any folder of this run."""
    yield
    from support.left_behind import leaks_below

    assert list(leaks_below(tmp_path_factory.getbasetemp())) == []


@pytest.fixture(scope="session")
def sandbox(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sandbox]:
    """A running local AWS IoT Core on free ports of 127.0.0.1."""
    with launch(tmp_path_factory.mktemp("sandbox")) as running:
        yield running


@pytest.fixture(scope="session")
def fleet(sandbox: Sandbox, tmp_path_factory: pytest.TempPathFactory) -> "Fleet":
    """A fleet with everything allowed that has to be; shared, so leave its policies and template alone."""
    from support.fleets import make_fleet  # botocore: only for who needs it

    return make_fleet(sandbox, tmp_path_factory.mktemp("claim"))


@pytest.fixture
def faults(sandbox: Sandbox) -> Iterator[FaultClient]:
    """The sandbox's faults, with none set and no calls counted, before and after."""
    _clean(sandbox.faults)
    yield sandbox.faults
    _clean(sandbox.faults)


def _clean(faults: FaultClient) -> None:
    faults.clear()
    faults.clear_calls()


@pytest.fixture(scope="session")
def root_dir() -> Path:
    """The checkout."""
    return Path(__file__).resolve().parent.parent
