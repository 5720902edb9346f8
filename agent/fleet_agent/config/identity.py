"""The section ``identity``: a pair that the device has already, to be adopted; and when an identity counts as dead."""

from typing import Annotated, Literal

from fleet_agent.config import checks
from fleet_agent.config.shape import Doc, Duration, FilePath, Text, WrongValueError
from fleet_agent.record import record


@record
class Identity:
    """A certificate and key of this device's own, from a factory or another agent, instead of a claim.

    Without them the section says only when an identity is given up.
    """

    certificate: Annotated[
        str | None,
        FilePath(credential=True),
        Doc(
            "The device's own certificate, PEM, first in the file; CA certificates may follow.",
            "certificate: /etc/fleet-agent/device.pem.crt",
        ),
    ] = None
    private_key: Annotated[
        str | None,
        FilePath(credential=True, token=True),
        Doc(
            "Its private key: PEM, or in a hardware token, `pkcs11:token=…;object=…`.",
            "private_key: /etc/fleet-agent/device.pem.key",
        ),
    ] = None
    thing_name: Annotated[
        str | None,
        Text(checks.thing_name, checks.THING_PATTERN, 128),
        Doc("The thing's name, which AWS IoT does not tell a device.", "thing_name: pump-7"),
    ] = None
    thing_name_from: Annotated[
        Literal["cn", "client-id"] | None,
        Doc(
            "Instead of `thing_name`: `cn`, the certificate's common name (the default), or `client-id`, no name: "
            "the certificate's id is the client id, and `{thing}`.",
            "thing_name_from: cn",
        ),
    ] = None
    dead_after: Annotated[
        float,
        Duration(1, 365 * 86400),
        Doc(
            "How long AWS IoT must have refused the identity before the agent requests another certificate by the "
            "claim, if there is one; time without a network does not count.",
            "dead_after: 6h",
        ),
    ] = 3600.0

    @property
    def pair(self) -> tuple[str, str] | None:
        """The paths of certificate and key; None if nothing is to be adopted."""
        if self.certificate is None or self.private_key is None:
            return None
        return self.certificate, self.private_key

    def __post_init__(self) -> None:
        """Checks that a certificate has a key, and a name or a source of it.

        Raises:
            WrongValueError: It is not so, or both.
        """
        if (self.certificate is None) != (self.private_key is None):
            given, missing = ("certificate", "private_key")
            if self.certificate is None:
                given, missing = missing, given
            raise WrongValueError(f"has {given}, but no {missing}", f"add {missing}")
        if self.pair is None and (self.thing_name or self.thing_name_from):
            raise WrongValueError(
                "names a thing, but no certificate to adopt", "add certificate and private_key"
            )
        if self.thing_name is not None and self.thing_name_from is not None:
            raise WrongValueError(
                "has thing_name and thing_name_from, which exclude each other", "keep one"
            )
