"""What more than one folder of unit tests asks for."""

import os
from collections.abc import Callable, Iterator

import pytest

from fleet_agent.credentials.hardware_token import cryptoki
from fleet_agent.credentials.model import HardwareToken
from support.softhsm import MODULE, TOKEN, SoftHsm


@pytest.fixture
def umask() -> Iterator[Callable[[int], None]]:
    """Sets the process's umask for the test."""
    before = os.umask(0o022)
    os.umask(before)

    def change(mask: int) -> None:
        os.umask(mask)

    yield change
    os.umask(before)


@pytest.fixture(scope="session")
def token(tmp_path_factory: pytest.TempPathFactory) -> Iterator[HardwareToken]:
    """The module is initialised once in a process, with one token."""
    folder = tmp_path_factory.mktemp("hsm")
    hsm = SoftHsm(folder)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SOFTHSM2_CONF", hsm.environment["SOFTHSM2_CONF"])
        patch.setattr(cryptoki, "_loaded", {})
        yield HardwareToken(
            module=str(MODULE), label=TOKEN, pin_file=str(hsm.pin_file), state_dir=str(folder)
        )
