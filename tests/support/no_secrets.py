"""The check for secrets as a fixture: a conftest that imports it has every test of its folder looked through."""

from collections.abc import Iterator

import pytest

from support import agent
from support.secrets import leaks


@pytest.fixture(autouse=True)
def no_secret_is_shown() -> Iterator[None]:
    """After each test: nothing secret in what its commands wrote, nor in the files they left."""
    agent.written.clear()
    agent.state_dirs.clear()
    yield
    assert leaks(agent.written, agent.state_dirs) == []
