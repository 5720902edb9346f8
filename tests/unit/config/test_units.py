import re

import pytest
from hypothesis import given
from hypothesis import strategies as some

from fleet_agent.config.units import (
    DURATION_PATTERN,
    SHARE_PATTERN,
    SIZE_PATTERN,
    Share,
    format_duration,
    format_size,
    parse_duration,
    parse_share,
    parse_size,
)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("0s", 0),
        ("60s", 60),
        ("10m", 600),
        ("1h30m", 5400),
        ("7d", 604800),
        ("1d2h3m4s5ms", 93784.005),
        ("90m", 5400),
    ],
)
def test_a_duration_is_its_parts_together(text: str, seconds: float) -> None:
    assert parse_duration(text) == pytest.approx(seconds)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "60",
        "s",
        "1.5h",
        "-1s",
        "1s1m",
        "1h1h",
        "1 h",
        "1H",
        "1w",
        "٣s",
        "60s\n",
        "9999999999s",
    ],
)
def test_what_is_no_duration_is_told_how_to_write_one(text: str) -> None:
    with pytest.raises(ValueError, match='"60s", "10m", "1h30m" or "7d"'):
        parse_duration(text)


@given(some.integers(0, 10**11))
def test_a_duration_survives_writing_and_reading_to_the_millisecond(milliseconds: int) -> None:
    text = format_duration(milliseconds / 1000)
    assert re.fullmatch(DURATION_PATTERN, text)
    assert parse_duration(text) == pytest.approx(milliseconds / 1000, abs=1e-6)


@pytest.mark.parametrize(
    ("text", "size"),
    [("0B", 0), ("512B", 512), ("64KiB", 65536), ("64MiB", 67108864), ("1GiB", 2**30)],
)
def test_a_size_is_a_number_and_a_binary_unit(text: str, size: int) -> None:
    assert parse_size(text) == size


@pytest.mark.parametrize(
    "text", ["", "64", "64MB", "64M", "1.5GiB", "-1B", "64 MiB", "1GiB1MiB", "64MiB\n"]
)
def test_what_is_no_size_is_told_how_to_write_one(text: str) -> None:
    with pytest.raises(ValueError, match='"512KiB" or "64MiB"'):
        parse_size(text)


@given(some.integers(0, 10**12 - 1))
def test_a_size_survives_writing_and_reading(size: int) -> None:
    text = format_size(size)
    assert re.fullmatch(SIZE_PATTERN, text)
    assert parse_size(text) == size


@given(some.integers(1, 99))
def test_a_share_stands_where_a_duration_may(percent: int) -> None:
    share = parse_share(f"{percent}%")
    assert isinstance(share, Share)
    assert share == pytest.approx(percent / 100)
    assert format_duration(share) == f"{percent}%"
    assert re.fullmatch(SHARE_PATTERN, f"{percent}%")
    assert parse_share("10m") == 600


@pytest.mark.parametrize("text", ["0%", "100%", "033%", "33", "3.3%", "33 %", "-3%", "33%\n"])
def test_what_is_neither_share_nor_duration_is_told_both(text: str) -> None:
    with pytest.raises(ValueError, match='"33%"'):
        parse_share(text)
