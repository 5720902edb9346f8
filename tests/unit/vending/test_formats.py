"""The same credentials in three spellings, and answers that are none."""

import contextlib
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as some

from fleet_agent.errors import UnreachableError, UsageError
from fleet_agent.vending import formats, packet
from fleet_agent.vending.formats import UnreadableError

ANSWER = {
    "credentials": {
        "accessKeyId": "ASIAX",
        "secretAccessKey": "secret+/=",
        "sessionToken": "token==",
        "expiration": "2026-11-26T18:00:00Z",
    }
}
EXPIRES = 1_795_716_000.0


def test_each_contract_has_its_names() -> None:
    found = formats.read(json.dumps(ANSWER).encode())
    assert found.expires == EXPIRES
    assert found.for_process() == {
        "Version": 1,
        "AccessKeyId": "ASIAX",
        "SecretAccessKey": "secret+/=",
        "SessionToken": "token==",
        "Expiration": "2026-11-26T18:00:00Z",
    }
    assert found.for_container() == {
        "AccessKeyId": "ASIAX",
        "SecretAccessKey": "secret+/=",
        "Token": "token==",
        "Expiration": "2026-11-26T18:00:00Z",
    }
    assert "secret+/=" not in repr(found)
    assert "token==" not in repr(found)


@pytest.mark.parametrize(
    "change",
    [
        {"accessKeyId": None},
        {"secretAccessKey": ""},
        {"sessionToken": "a\nb"},
        {"sessionToken": "ü"},
        {"sessionToken": "x" * 40_000},
        {"expiration": "soon"},
        {"expiration": 5},
    ],
)
def test_a_field_that_is_not_as_it_should(change: dict[str, Any]) -> None:
    wrong = {"credentials": {**ANSWER["credentials"], **change}}
    with pytest.raises(UnreadableError) as error:
        formats.read(json.dumps(wrong).encode())
    assert "secret" not in str(error.value).replace("`secretAccessKey`", "")


@given(some.binary(max_size=200) | some.just(b"[" * 100_000))
def test_any_answer_is_read_or_refused(body: bytes) -> None:
    with contextlib.suppress(UnreadableError):
        formats.read(body)
    assert isinstance(formats.message(body), str)


@given(some.binary(max_size=200))
def test_any_packet_is_read_or_refused(data: bytes) -> None:
    with contextlib.suppress(UsageError):
        packet.parse(data)


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("Thu, 26 Nov 2026 18:00:00 GMT", EXPIRES),
        ("", None),
        ("Thu, 26 Foo 2026 18:00:00 GMT", None),
        ("Thu, 99 Nov 2026 18:00:00 GMT", None),
        ("Thu, 26 Nov 2026 18:00 GMT", None),
    ],
)
def test_the_answers_own_date(text: str, moment: float | None) -> None:
    assert formats.date(text) == moment


@pytest.mark.parametrize("moment", ["9999-12-31T23:59:59-23:59", "0001-01-01T00:00:00+23:59"])
def test_an_end_that_cannot_be_written_is_none(moment: str) -> None:
    """It was read, and ended the agent where it was to be shown."""
    wrong = {"credentials": {**ANSWER["credentials"], "expiration": moment}}
    with pytest.raises(UnreadableError):
        formats.read(json.dumps(wrong).encode())


@pytest.mark.parametrize("year", ["0", "10000", "9" * 20, "9" * 5000])
def test_a_date_beyond_all_years_is_none(year: str) -> None:
    assert formats.date(f"Thu, 26 Nov {year} 17:35:26 GMT") is None


@pytest.mark.parametrize(
    "answer",
    [
        {},
        {"credentials": {}},
        {
            "credentials": {
                "AccessKeyId": 1,
                "SecretAccessKey": "",
                "SessionToken": "",
                "Expiration": "",
            }
        },
        {"token": "t"},
        {"token": "\ud800", "url": "u"},
    ],
)
def test_an_answer_that_lacks_what_it_promises_is_none(answer: dict[str, object]) -> None:
    """Root asks, too, and who listens there may be the agent's user, or another version."""
    with pytest.raises(UnreachableError):
        packet.read(packet.answer(**answer))
