"""When a credential is to be replaced, and how often that is tried."""

import dataclasses
import itertools

import pytest

from fleet_agent.config.rotation import Rotation
from fleet_agent.config.units import Share
from fleet_agent.credentials.model import Credential, Generation
from fleet_agent.credentials.validity import Validity
from fleet_agent.identity import due
from support.clock import DAY, HOUR
from support.walks import ATTEMPT

BEGIN = 1.8e9
CREDENTIAL = Credential(
    generation=1,
    certificate_id="c",
    certificate_file="c.pem",
    private_key_file="k.pem",
    thing_name="pump-7",
    device_configuration={},
    endpoint="a.example",
    template="fleet",
    is_proven=True,
    proven=BEGIN,
)


@pytest.mark.parametrize(
    ("before", "life", "margin"),
    [
        (None, DAY, 0.33 * DAY),
        (None, 7 * DAY, 0.33 * 7 * DAY),
        (None, 364 * DAY, 0.33 * 364 * DAY),
        (None, 365 * DAY, 30 * DAY),
        (None, 25 * 365 * DAY, 30 * DAY),
        (Share(0.2), 10 * DAY, 2 * DAY),
        (60 * DAY, 365 * DAY, 60 * DAY),
        # Of a life of a week this would be due for ever.
        (30 * DAY, 7 * DAY, 3.5 * DAY),
        (Share(0.9), 10 * DAY, 5 * DAY),
    ],
)
def test_the_margin_before_the_end(before: float | None, life: float, margin: float) -> None:
    rotation = Rotation(before_expiry=before)
    assert due.margin(rotation, life) == pytest.approx(margin)
    dates = Validity(not_before=BEGIN, not_after=BEGIN + life)
    moment = BEGIN + life - margin
    assert not due.judge(rotation, CREDENTIAL, dates, moment - 1).is_due
    found = due.judge(rotation, CREDENTIAL, dates, moment + 1)
    assert found.is_due
    assert found.moment == pytest.approx(moment)


def test_by_age_when_that_comes_first() -> None:
    dates = Validity(not_before=BEGIN, not_after=BEGIN + 7 * DAY)
    found = due.judge(Rotation(max_age=DAY), CREDENTIAL, dates, BEGIN + DAY)
    assert (found.is_due, found.why) == (True, "Due: the certificate has reached max_age.")


def test_tried_more_often_as_the_end_nears() -> None:
    left, waits = 8 * HOUR, []
    while left > 0:
        waits.append(due.patience(left, 0.5))
        left -= waits[-1]
    assert waits[0] == HOUR
    assert all(later <= before for before, later in itertools.pairwise(waits))
    assert waits[-1] == due.SOONEST
    assert 20 < len(waits) < 60
    assert due.patience(20 * 365 * DAY, 0.5) == due.LATEST
    assert due.patience(-5.0, 0.0) >= 45.0


def test_what_counts_as_begun() -> None:
    found = Generation(number=2, attempt=ATTEMPT)
    assert due.is_begun(found, "a.example", None)
    assert not due.is_begun(None, "a.example", None)
    assert not due.is_begun(found, "b.example", None)
    key_made_ahead = dataclasses.replace(found, attempt=dataclasses.replace(ATTEMPT, tries=0))
    assert not due.is_begun(key_made_ahead, "a.example", None)
