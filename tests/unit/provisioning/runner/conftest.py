"""A walk to carry out."""

from pathlib import Path

import pytest

from support.runners import Bench


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)
