"""Which replaced certificates may be retired: only what the thing itself has, and only after it was seen on the new."""

import datetime as dt

import pytest

from fleet_cloud.aws.names import FleetNames
from fleet_cloud.fleet import jobs
from fleet_cloud.fleet.inventory import Certificate, Holdings
from fleet_cloud.fleet.jobs import Execution

CERT = "arn:aws:iot:eu-west-1:123456789012:cert/"
OLD, NEW, FOREIGN, OFF = ("a" * 64, "b" * 64, "c" * 64, "d" * 64)


def held() -> Holdings:
    found = {
        CERT + each: Certificate(
            arn=CERT + each, status="INACTIVE" if each == OFF else "ACTIVE", created=None
        )
        for each in (OLD, NEW, FOREIGN, OFF)
    }
    return Holdings(certificates=found, claims=[], devices=[])


@pytest.mark.parametrize(
    ("details", "principals", "retired"),
    [
        ({"from": OLD, "certificate": NEW}, (OLD, NEW), OLD),
        ({"from": OLD, "certificate": NEW}, (NEW,), None),  # retired already
        ({"from": FOREIGN, "certificate": NEW}, (OLD, NEW), None),  # another's
        ({"from": OLD, "certificate": NEW}, (OLD,), None),  # not on the new one
        ({"from": OLD, "certificate": OFF}, (OLD, OFF), None),  # which is switched off
        ({"from": NEW, "certificate": NEW}, (OLD, NEW), None),
        ({"certificate": NEW}, (OLD, NEW), None),  # an agent that does not say which
        ({"from": 7, "certificate": NEW}, (OLD, NEW), None),
        ({}, (OLD, NEW), None),
    ],
)
def test_retires_only_what_the_thing_has_and_has_replaced(
    details: dict[str, object], principals: tuple[str, ...], retired: str | None
) -> None:
    done = Execution(thing="t", status=jobs.SUCCEEDED, changed=None, details=details)
    plan = jobs.judge(done, [CERT + principal for principal in principals], held())
    assert (plan.certificate.identifier if plan.certificate else None) == retired
    assert bool(plan.why) is (retired is None)


def test_ids_are_the_fleets_own_and_in_order_of_time() -> None:
    at = dt.datetime(2026, 3, 1, 9, 30, 5, tzinfo=dt.UTC)
    names = FleetNames("n" * 36)
    assert len(jobs.new_id(names, at)) <= 64
    assert jobs.new_id(names, at) < jobs.new_id(names, at + dt.timedelta(seconds=1))
    assert jobs.new_id(FleetNames("a"), at) == "a-rotate-20260301T093005Z"
    assert not jobs.is_of("a-rotate-b-rotate-20260301T093005Z", FleetNames("a"))
