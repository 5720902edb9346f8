"""Claims by their subject and by what somebody types."""

import pytest

from fleet_cloud.aws.names import FleetNames
from fleet_cloud.errors import UsageError
from fleet_cloud.fleet import claims
from fleet_cloud.fleet.claims import Claim
from fleet_cloud.fleet.inventory import Certificate
from support.certificates import make_certificate
from support.csr import make_key


def claim(identifier: str) -> Claim:
    arn = f"arn:aws:iot:eu-west-1:1:cert/{identifier}"
    certificate = Certificate(arn=arn, status="ACTIVE", created=None)
    return Claim(certificate=certificate, batch="b", state="active")


CLAIMS = [claim("abcdef01"), claim("abcdef02"), claim("99999999")]


def test_claim_is_picked_by_the_beginning_of_its_id_once() -> None:
    assert claims.pick(CLAIMS, ["999999", "99999999", "ABCDEF01"]) == [CLAIMS[2], CLAIMS[0]]


@pytest.mark.parametrize("given", ["abcdef0", "9999", "", "000000"])
def test_beginning_of_no_id_or_several_is_refused(given: str) -> None:
    with pytest.raises(UsageError, match="does not identify one claim"):
        claims.pick(CLAIMS, [given])


@pytest.mark.parametrize(
    ("subject", "fleet", "batch"),
    [
        ("bins claim 2026-spring", "bins", "2026-spring"),
        ("bins claim b", "bin", ""),
        ("AWS IoT Certificate", "bins", ""),
        ("two.bins claim b", "bins", ""),
    ],
)
def test_batch_stands_in_the_subject(subject: str, fleet: str, batch: str) -> None:
    assert claims.batch_of(make_certificate(make_key(), name=subject), FleetNames(fleet)) == batch


def test_certificate_cut_off_has_no_batch() -> None:
    assert claims.batch_of("-----BEGIN CERTIFICATE-----\nMII", FleetNames("bins")) == ""
