"""A device under the shared fleet's claim, and a broker on which waits are short."""

from collections.abc import Iterator
from contextlib import ExitStack
from itertools import count
from typing import Any

import pytest

from iot_sandbox.launch import Sandbox, launch
from iot_sandbox.limits import RULES
from support.claimant import Claimant, serials
from support.fleets import Claim, Fleet, make_unbound
from support.mqtt import connected
from support.peer import Open, Peer


@pytest.fixture
def claimant(fleet: Fleet) -> Iterator[Claimant]:
    with connected(fleet.sandbox, fleet.claim, f"claim-{next(serials)}") as device:
        yield Claimant(device, fleet)


@pytest.fixture(scope="session")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sandbox]:
    """A sandbox on two ports, whose shortest keep-alive and whose resending take a second each."""
    ports = "--mqtt-port", "0", "--mqtt-port", "0"
    arguments = *ports, "--shortest-keep-alive", "1", "--resend", "1"
    with launch(tmp_path_factory.mktemp("broker"), arguments=arguments) as running:
        yield running


@pytest.fixture(scope="session")
def anybody(broker: Sandbox, tmp_path_factory: pytest.TempPathFactory) -> Claim:
    """A certificate that may do everything on ``broker``."""
    return make_unbound(broker, tmp_path_factory.mktemp("anybody"))


@pytest.fixture(scope="session")
def free_broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sandbox]:
    """A sandbox without any of AWS's limits."""
    arguments = tuple(word for rule in RULES for word in ("--without", rule))
    with launch(tmp_path_factory.mktemp("free"), arguments=arguments) as running:
        yield running


@pytest.fixture(scope="session")
def free(free_broker: Sandbox, tmp_path_factory: pytest.TempPathFactory) -> Claim:
    """A certificate that may do everything on ``free_broker``."""
    return make_unbound(free_broker, tmp_path_factory.mktemp("free-anybody"))


_names = count(1)


@pytest.fixture
def place() -> str:
    """A topic of this test's own, to begin others with."""
    return f"place-{next(_names)}"


@pytest.fixture
def peer(broker: Sandbox, anybody: Claim) -> Iterator[Open]:
    """Opens connections to ``broker``; they end with the test. Without a name each has one of its own."""
    with ExitStack() as stack:

        def open_peer(name: str | None = None, **more: Any) -> Peer:
            name = f"peer-{next(_names)}" if name is None else name
            return stack.enter_context(Peer(broker, anybody, name, **more))

        yield open_peer
