from pathlib import Path

from fleet_agent import clock


def test_a_clock_before_this_release_is_not_set(tmp_path: Path) -> None:
    assert clock.is_still_unset(0.0, tmp_path / "none")
    assert clock.is_still_unset(clock.BUILT - 1, tmp_path / "none")
    assert not clock.is_still_unset(clock.BUILT, tmp_path / "none")


def test_a_clock_that_is_about_to_be_synchronised_is_not_set(tmp_path: Path) -> None:
    assert clock.is_still_unset(clock.BUILT, tmp_path)
    (tmp_path / "synchronized").touch()
    assert not clock.is_still_unset(clock.BUILT, tmp_path)
    assert clock.is_still_unset(0.0, tmp_path)


def test_a_moment_in_words() -> None:
    assert clock.text(0.9) == "1970-01-01T00:00:00Z"
    assert clock.text(1_795_255_080) == "2026-11-21T09:58:00Z"
