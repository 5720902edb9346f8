"""Files that a flag names."""

from pathlib import Path

import pytest

from fleet_agent.cli import flags
from fleet_agent.errors import Exit, StateDirectoryError


@pytest.mark.parametrize("place", ["folder", "link", "missing/file", "file/below"])
def test_what_stands_in_the_place_of_a_flags_file_is_the_users_own(
    tmp_path: Path, place: str
) -> None:
    """What was proposed was to move /dev/null, or /tmp, out of the way."""
    (tmp_path / "folder").mkdir()
    (tmp_path / "file").write_text("mine")
    (tmp_path / "link").symlink_to("file")
    with pytest.raises(StateDirectoryError) as caught:
        flags.write_file("--token-file", tmp_path / place, b"x", 0o600)
    error = caught.value
    assert (error.exit_status, error.code) == (Exit.CANNOT_WRITE, "file-not-written")
    assert str(tmp_path / place) in error.title
    assert error.remedy.startswith("Pass --token-file a file, not a link")
    assert (tmp_path / "file").read_text() == "mine"
