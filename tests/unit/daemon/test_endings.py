"""What one image of the process hands to the next."""

import os
import pickle
import tempfile

import pytest

from fleet_agent.config.settings import Settings
from fleet_agent.daemon import endings
from fleet_agent.daemon.start_options import StartOptions
from fleet_agent.programs.worker import CODE

OPTIONS = StartOptions(
    settings=Settings(endpoint="a.example"),
    configuration=None,
    allow_volatile=True,
    any_owner=False,
    is_verbose=False,
)


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (pickle.dumps((CODE, OPTIONS)), OPTIONS),
        (pickle.dumps(((1, 2, 3), OPTIONS)), None),
        (b"", None),
        (b"\x80\x04cnone\nsuch\n.", None),
    ],
    ids=["the same code", "other code", "nothing", "what this code does not know"],
)
def test_options_count_if_the_same_code_handed_them_over(
    monkeypatch: pytest.MonkeyPatch, given: bytes, expected: StartOptions | None
) -> None:
    with tempfile.TemporaryFile() as file:
        file.write(given)
        file.seek(0)
        # As after exec: it is this image's to close.
        monkeypatch.setenv(endings.OPTIONS, str(os.dup(file.fileno())))
        assert endings.handed_over() == expected


@pytest.mark.parametrize("number", ["", "x", "-1", "9999", "9" * 30])
def test_what_is_no_descriptor_is_none(monkeypatch: pytest.MonkeyPatch, number: str) -> None:
    monkeypatch.setenv(endings.OPTIONS, number)
    assert endings.handed_over() is None
