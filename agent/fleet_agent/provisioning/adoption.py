"""The steps of a walk for a certificate and key that the device already has: stores them and asks for nothing.

The proof is that of any other identity. AWS IoT ends the first connections of a certificate that it is still
registering by its CA (JITP, JITR), so for some time a hang-up is not yet a refusal.
"""

from fleet_agent import clock
from fleet_agent.credentials.model import Generation, Issued, Registration
from fleet_agent.errors import (
    CERTIFICATE_EXPIRED,
    CERTIFICATE_REFUSED,
    CONNECT_CLOSED,
    CONNECT_UNANSWERED,
    AgentError,
    DeviceError,
    RefusedError,
)
from fleet_agent.provisioning.clockwatch import ClockWatch
from fleet_agent.provisioning.dependencies import Dependencies
from fleet_agent.provisioning.machine import SPREADING_LIMIT
from fleet_agent.provisioning.model import Given, Step
from fleet_agent.provisioning.report import Milestone

# Seconds that AWS IoT may take to register a certificate by its CA, if a Lambda function takes part.
REGISTERING_LIMIT = 120.0


class Adoption:
    """The steps of an adopted identity that differ from those by a claim.

    Args:
        given: What is adopted.
        needs: The store, the clock and the report.
        watch: Learns from the certificate's dates.
    """

    def __init__(self, given: Given, needs: Dependencies, watch: ClockWatch) -> None:
        self._given = given
        self._needs = needs
        self._watch = watch
        self.patience = SPREADING_LIMIT if given.is_from_aws else REGISTERING_LIMIT

    def check(self) -> None:
        """Checks the certificate's dates.

        Raises:
            DeviceError: It has expired.
            UnreachableError: Its dates do not fit the clock, and the clock is to blame.
        """
        dates, file = self._given.dates, self._given.pair.certificate_file
        if self._watch.has_expired(dates, file):
            raise DeviceError(
                f"The certificate in {file} expired on {clock.text(dates.not_after)}.",
                remedy="Have a new one issued for the device, or let the device get one with a claim: fleet-agent "
                "provision",
                code=CERTIFICATE_EXPIRED,
            )

    def take(self, step: Step, found: Generation) -> Generation:
        """Carries out a step with what is given.

        Raises:
            StateDirectoryError: It cannot be stored.
        """
        store, given = self._needs.store, self._given
        match step:
            case Step.KEY:
                return store.keep_key(found, given.pair.private_key)
            case Step.ISSUE:
                received = self._needs.clock.wall()
                issued = Issued(
                    certificate_id=given.certificate_id, ownership_token=None, received=received
                )
                found = store.keep_certificate(found, issued, given.pair.certificate, None)
                self._needs.report.step(Milestone.STORED, store.folder(found.number).name)
                return found
            case Step.REGISTER:
                registration = Registration(thing_name=given.thing_name, device_configuration={})
                found = store.keep_registration(found, registration)
                self._needs.report.step(Milestone.ADOPTED, given.thing_name or "no thing")
                return found
            case _:
                raise AssertionError(step)

    def explain(self, error: AgentError, refused_for: float) -> AgentError:
        """Explains what a refusal means for an adopted certificate.

        Args:
            error: Why it could not be proven.
            refused_for: Seconds since the first refusal.
        """
        # A certificate that is unknown there is refused in TLS or after it, with or without a message.
        if error.code not in {CERTIFICATE_REFUSED, CONNECT_UNANSWERED, CONNECT_CLOSED}:
            return error
        given = self._given
        named = f"{given.certificate_id} ({given.pair.certificate_file})"
        if not given.is_from_aws and refused_for < self.patience:
            why = "AWS IoT may still be registering it through its CA (JITP, JITR)"
        else:
            why = "it is unknown in the account and region of this endpoint, or not ACTIVE"
        return RefusedError(
            f"AWS IoT does not accept the adopted certificate {named}: {why}.",
            remedy=f"In that account: aws iot describe-certificate --certificate-id {given.certificate_id}. Not "
            "found: check `endpoint`, or register it (aws iot register-certificate-without-ca, or its CA). "
            "INACTIVE: aws iot update-certificate --new-status ACTIVE. REVOKED: have a new one issued.",
            code=CONNECT_UNANSWERED,
        )
