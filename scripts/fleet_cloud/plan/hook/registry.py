"""The calls of the hook to AWS IoT's registry, within a time of its own: AWS IoT waits five seconds for the answer."""

import contextlib
import dataclasses
import time
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

import botocore.session
from botocore.config import Config
from botocore.exceptions import ClientError

from fleet_cloud.plan.hook.registration import ATTRIBUTE, Registration

# No call begins later than this, and none takes longer than a second: an answer or an error is there before the fifth.
LAST_BEGINNING_SECONDS = 2.8
_CALL_SECONDS = 1.0
# A claim is on no thing, and is asked about by each device of its batch.
_REMEMBERED_SECONDS = 300.0

_claims: dict[str, float] = {}


class TooSlowError(Exception):
    """The registry did not answer in time."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Thing:
    """A thing as the registry has it."""

    version: int
    registration: Registration


@cache
def client() -> Any:  # noqa: ANN401 - botocore makes its clients as it runs
    """Returns a client that does not try again: the device does."""
    patience = {"connect_timeout": _CALL_SECONDS, "read_timeout": _CALL_SECONDS}
    config = Config(**patience, retries={"total_max_attempts": 1})
    return botocore.session.get_session().create_client("iot", config=config)


class Registry:
    """The registry, asked on behalf of one registration.

    Args:
        iot: A client of AWS IoT.
        certificates: The ARN of certificates, up to the id.
        began: When the hook was called, on the monotonic clock.
    """

    def __init__(self, iot: Any, certificates: str, began: float) -> None:  # noqa: ANN401
        self._iot = iot
        self._certificates = certificates
        self._until = began + LAST_BEGINNING_SECONDS

    def thing(self, name: str) -> Thing | None:
        """Returns a thing, or nothing when there is none."""
        try:
            found = self._call("describe_thing", thingName=name)
        except self._iot.exceptions.ResourceNotFoundException:
            return None
        text = found.get("attributes", {}).get(ATTRIBUTE)
        return Thing(version=found["version"], registration=Registration.read(text))

    def certificates_of(self, name: str) -> list[str]:
        """Returns the ids of a thing's certificates, whatever their status."""
        found = self._call("list_thing_principals", thingName=name, maxResults=250)
        return [arn.rpartition("/")[2] for arn in found["principals"] if ":cert/" in arn]

    def things_of(self, certificate_id: str) -> list[str]:
        """Returns the things that a certificate is on; that a claim is on none is remembered for a while."""
        if time.monotonic() < _claims.get(certificate_id, 0):
            return []
        arn, found = self._certificates + certificate_id, list[str]()
        # A claim of five minutes (CreateProvisioningClaim) is none of the account's certificates.
        with contextlib.suppress(self._iot.exceptions.ResourceNotFoundException):
            found = self._call("list_principal_things", principal=arn)["things"]
        if not found:
            _claims[certificate_id] = time.monotonic() + _REMEMBERED_SECONDS
        return found

    def pem_of(self, certificate_id: str) -> str:
        """Returns a certificate."""
        found = self._call("describe_certificate", certificateId=certificate_id)
        return str(found["certificateDescription"]["certificatePem"])

    def create(self, name: str, attributes: Mapping[str, str], where: Mapping[str, str]) -> bool:
        """Makes a thing; returns whether this call made it, and no other."""
        payload = {"attributes": dict(attributes)}
        try:
            self._call("create_thing", thingName=name, attributePayload=payload, **where)
        except self._iot.exceptions.ResourceAlreadyExistsException:
            return False
        return True

    def remember(self, name: str, registration: Registration, version: int) -> bool:
        """Writes to a thing; returns whether it still was as it had been read."""
        payload = {"attributes": registration.attribute, "merge": True}
        try:
            self._call(
                "update_thing", thingName=name, attributePayload=payload, expectedVersion=version
            )
        except self._iot.exceptions.VersionConflictException:
            return False
        return True

    def put_into(self, name: str, groups: Sequence[str]) -> None:
        """Puts a thing into groups; one that is in already stays."""
        for group in groups:
            self._call("add_thing_to_thing_group", thingName=name, thingGroupName=group)

    def _call(self, operation: str, **parameters: object) -> Any:  # noqa: ANN401
        if time.monotonic() > self._until:
            raise TooSlowError(f"no time is left for {operation}")
        return getattr(self._iot, operation)(**parameters)


def reason(error: Exception) -> str:
    """Returns an error for the log, with the code of AWS where it has one."""
    code = error.response["Error"]["Code"] if isinstance(error, ClientError) else ""
    return f"{code or type(error).__name__}: {error}"
