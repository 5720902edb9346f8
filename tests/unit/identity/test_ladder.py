"""When an identity is dead, and when another certificate is asked for: decided without a clock, a file or a network."""

import dataclasses

import pytest

from fleet_agent.credentials.model import Attempt, Generation, Issued, Registration, Secret
from fleet_agent.errors import (
    AgentError,
    DeviceError,
    NotApprovedError,
    RefusedError,
    TemporaryError,
    UnreachableError,
)
from fleet_agent.identity import ladder

ATTEMPT = Attempt(
    endpoint="cloud",
    template="fleet",
    method="csr",
    parameters_hash="",
    csr_hash=None,
    tries=1,
    not_before=0.0,
    opened=0.0,
)
ISSUED = Issued(certificate_id="c", ownership_token=Secret("t"), received=0.0)
REGISTERED = Registration(thing_name="pump-7", device_configuration={})


def error(kind: type[AgentError], code: str = "x") -> AgentError:
    return kind("what", remedy="", code=code)


@pytest.mark.parametrize(
    ("code", "of", "refuses"),
    [
        (133, "connect-refused", True),
        (134, "connect-refused", True),
        (135, "not-allowed", True),
        (138, "connect-refused", True),
        # The server's own trouble, another protocol, the last will.
        *((code, "x", False) for code in (128, 131, 132, 136, 137, 144, 149, 151, 154, 159, -1)),
        (None, "connect-unanswered", True),
        (None, "certificate-refused", True),
        (None, "connect-closed", True),
        *(
            (None, of, False)
            for of in (
                "connect-failed",
                "endpoint-unreachable",
                "endpoint-unknown",
                "server-untrusted",
                "server-certificate-dates",
                "endpoint-silent",
                "proxy-password",
            )
        ),
    ],
)
def test_what_refuses_an_identity(code: int | None, of: str, refuses: bool) -> None:
    assert ladder.refuses(code, error(RefusedError, of)) is refuses


def test_time_without_power_or_network_counts_little() -> None:
    assert ladder.counted(100.0, 300.0) == 400.0
    assert ladder.counted(100.0, 30 * 86400.0) == 100.0 + ladder.LONGEST_GAP
    assert ladder.counted(100.0, -50.0) == 100.0


def test_verdict() -> None:
    assert ladder.left(3599.0, 0.0, 3600.0, is_expired=False) == 1.0
    assert ladder.left(3600.0, 0.0, 3600.0, is_expired=False) == 0.0
    assert ladder.left(3600.0, 200.0, 3600.0, is_expired=False) == 200.0
    assert ladder.left(0.0, 0.0, 3600.0, is_expired=True) == 0.0
    assert ladder.left(50.0, 200.0, 3600.0, is_expired=True) == 150.0


def test_share_of_the_fleet_s_spread() -> None:
    assert ladder.share(1050.0, 0.0) == 0.0
    assert ladder.share(1050.0, 0.999) < 1050.0 / 2


def test_slower_and_slower() -> None:
    refused = [ladder.wait(error(NotApprovedError), tries, 0.999) for tries in range(1, 12)]
    assert refused == sorted(refused)
    assert refused[-1] > 3500
    assert ladder.wait(error(TemporaryError), 1, 0.999) < ladder.wait(
        error(RefusedError), 1, 0.999
    )
    assert ladder.wait(error(UnreachableError), 20, 0.999) < 301
    assert ladder.wait(error(DeviceError), 1, 0.999) < 31
    assert ladder.wait(error(DeviceError, "thing-changed"), 1, 0.0) > 86400


def test_certificate_a_day_and_a_week_after_a_vain_one() -> None:
    day = ladder.CERTIFICATE_EVERY
    assert ladder.certificate_left(day - 1, was_refused=False) == 1.0
    assert ladder.certificate_left(day, was_refused=False) == 0.0
    assert ladder.certificate_left(day, was_refused=True) == 6 * day
    assert ladder.certificate_left(-5.0, was_refused=False) == day


@pytest.mark.parametrize(
    ("pending", "goes_on", "costs"),
    [
        (None, False, True),
        (Generation(number=3, attempt=ATTEMPT), False, True),
        # A rotation's, with a key of its own, which the cloud does not know.
        (Generation(number=3, attempt=ATTEMPT, has_key=True, issued=ISSUED), False, True),
        (
            Generation(number=3, attempt=ATTEMPT, issued=ISSUED, registration=REGISTERED),
            True,
            False,
        ),
        (Generation(number=3, attempt=dataclasses.replace(ATTEMPT, key_of=2)), True, True),
        (
            Generation(number=3, attempt=dataclasses.replace(ATTEMPT, key_of=2), issued=ISSUED),
            True,
            False,
        ),
        (
            Generation(number=3, attempt=dataclasses.replace(ATTEMPT, key_of=1), issued=ISSUED),
            False,
            True,
        ),
    ],
)
def test_what_is_gone_on_with(pending: Generation | None, goes_on: bool, costs: bool) -> None:
    assert ladder.goes_on(pending, 2) is goes_on
    assert ladder.costs_certificate(pending, 2) is costs
