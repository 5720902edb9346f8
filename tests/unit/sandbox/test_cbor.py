"""CBOR, against the examples of RFC 8949, appendix A."""

import pytest

from iot_sandbox import cbor

EXAMPLES = {
    "00": 0, "17": 23, "1818": 24, "1903e8": 1000, "1a000f4240": 1000000, "1b000000e8d4a51000": 1000000000000,
    "20": -1, "3903e7": -1000, "f4": False, "f5": True, "f6": None, "fb3ff199999999999a": 1.1,
    "40": b"", "4401020304": b"\1\2\3\4", "60": "", "6449455446": "IETF", "62c3bc": "\u00fc",
    "80": [], "83010203": [1, 2, 3], "a0": {}, "a26161016162820203": {"a": 1, "b": [2, 3]},
}  # fmt: skip


@pytest.mark.parametrize(("written", "value"), EXAMPLES.items())
def test_examples_both_ways(written: str, value: object) -> None:
    assert cbor.loads(bytes.fromhex(written)) == value
    assert cbor.dumps(value).hex() == written


def test_short_floats_are_read() -> None:
    assert cbor.loads(bytes.fromhex("f93e00")) == 1.5
    assert cbor.loads(bytes.fromhex("fa47c35000")) == 100000.0


@pytest.mark.parametrize(
    "rubbish",
    ["", "18", "41", "61ff", "81", "a1", "a10001ff", "9f", "5f", "c074", "ff", "1c", "0000",
     "bb7fffffffffffffff", "9b7fffffffffffffff", "81" * 40 + "00", "a18000"],
)  # fmt: skip
def test_what_is_none_is_refused(rubbish: str) -> None:
    with pytest.raises(ValueError):  # noqa: PT011  the text is for people
        cbor.loads(bytes.fromhex(rubbish))
