"""Agents that are provisioned at a scripted server, as many as a test wants, at once."""

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from hostile.running import Running, Start
from support.scripted import Server


@pytest.fixture
def server(tmp_path: Path) -> Server:
    """It runs as soon as the first agent does: whom it trusts is known by then."""
    return Server(tmp_path / "server")


@pytest.fixture
def start(server: Server, tmp_path: Path) -> Iterator[Start]:
    """``start(*names, **settings)`` runs a device of each name; called once."""
    with ExitStack() as stack:

        def begin(*names: str, **settings: Any) -> list[Running]:
            places = {name: tmp_path / name for name in names}
            for name, place in places.items():
                server.make_device(place, name)
            stack.enter_context(server)
            found = []
            for name, place in places.items():
                one = Running(server, name, place, **settings)
                stack.callback(one.close)
                found.append(one)
            return found

        yield begin
