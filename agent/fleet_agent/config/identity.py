"""The section ``identity``: a certificate and a key that the device has already, to be adopted as they are."""

from typing import Annotated, Literal

from fleet_agent.config import checks
from fleet_agent.config.shape import Doc, FilePath, Text, WrongValueError
from fleet_agent.record import record


@record
class Identity:
    """A certificate and key of this device's own, from a factory or another agent, instead of a claim."""

    certificate: Annotated[
        str,
        FilePath(credential=True),
        Doc(
            "The device's own certificate, PEM, first in the file; a CA's may follow.",
            "certificate: /etc/fleet-agent/device.pem.crt",
        ),
    ]
    private_key: Annotated[
        str,
        FilePath(credential=True, token=True),
        Doc(
            "Its private key: PEM, or in a token, `pkcs11:token=…;object=…`.",
            "private_key: /etc/fleet-agent/device.pem.key",
        ),
    ]
    thing_name: Annotated[
        str | None,
        Text(checks.thing_name, checks.THING_PATTERN, 128),
        Doc("The thing's name; AWS IoT tells it to nobody.", "thing_name: pump-7"),
    ] = None
    thing_name_from: Annotated[
        Literal["cn", "client-id"] | None,
        Doc(
            "Instead of `thing_name`: `cn`, the certificate's common name (the default), or `client-id`, no name: "
            "the certificate's id is the client id, and `{thing}`.",
            "thing_name_from: cn",
        ),
    ] = None

    def __post_init__(self) -> None:
        """A name is given or taken from somewhere.

        Raises:
            WrongValueError: It is both.
        """
        if self.thing_name is not None and self.thing_name_from is not None:
            raise WrongValueError(
                "has thing_name and thing_name_from, which exclude each other", "keep one"
            )
