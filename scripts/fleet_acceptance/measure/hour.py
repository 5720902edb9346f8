"""What an hour changes: AWS says that an ownership token is worth nothing then, and deletes the certificate."""

import time

from botocore.exceptions import ClientError

from fleet_acceptance.account.cloud import code_of
from fleet_acceptance.measure.bench import Bench
from fleet_acceptance.measure.requests import answer

_HOUR_SECONDS = 3660.0
_SHOWN_SECONDS = 600.0
_ABSENT = "ResourceNotFoundException"


def measure(bench: Bench) -> None:
    """Asks for a certificate, waits for an hour, and registers it."""
    run = bench.run
    with run.measuring("token-expired", "certificate-after-an-hour"):
        plain = bench.template("plain")
        with bench.claim_session() as session:
            made = bench.issue(session)
        _wait(bench)
        with bench.claim_session() as session:
            reply = bench.register(session, plain, made.token, SerialNumber="expired")
        run.record("token-expired", answer(reply), answer=reply and reply.document)
        run.record("certificate-after-an-hour", _status(bench, made.certificate_id))


def _wait(bench: Bench) -> None:
    until = time.monotonic() + _HOUR_SECONDS
    while (left := until - time.monotonic()) > 0:
        bench.run.say(f"  waiting for an hour: {round(left / 60)} min left")
        time.sleep(min(left, _SHOWN_SECONDS))


def _status(bench: Bench, certificate_id: str) -> str:
    try:
        found = bench.iot.describe_certificate(certificateId=certificate_id)
    except ClientError as error:
        if code_of(error) == _ABSENT:
            return "deleted"
        raise
    return str(found["certificateDescription"]["status"])
