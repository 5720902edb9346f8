"""How a device gets an identity of its own: claim, key, template."""

import dataclasses
from collections.abc import Mapping
from typing import Annotated, Literal

from fleet_agent.config import checks
from fleet_agent.config.shape import (
    Doc,
    Duration,
    FilePath,
    Keys,
    Range,
    Text,
    WrongValueError,
)
from fleet_agent.config.sources import Source
from fleet_agent.record import record

Method = Literal["csr", "keys"]
KeyType = Literal["ec-p256", "rsa-2048"]


@record
class Claim:
    """The claim certificate and its key: paths, or ``credential:NAME``."""

    certificate: Annotated[
        str,
        FilePath(credential=True),
        Doc(
            "The claim certificate, PEM.",
            "certificate: /etc/fleet-agent/claim/claim.certificate.pem.crt",
        ),
    ]
    private_key: Annotated[
        str,
        FilePath(credential=True, token=True),
        Doc(
            "The claim certificate's private key: PEM, or in a hardware token, `pkcs11:token=…;object=…`.",
            "private_key: credential:claim-key",
        ),
    ]
    after_success: Annotated[
        Literal["keep", "delete"],
        Doc(
            "Whether the claim is kept or deleted once the device has its own identity; deleted after "
            "`good_starts`.",
            "after_success: delete",
        ),
    ] = "keep"
    good_starts: Annotated[
        int,
        Range(1, 1000),
        Doc(
            "With `after_success: delete`: the number of starts with an acknowledged reading before the claim is "
            "deleted.",
            "good_starts: 3",
        ),
    ] = 3


@record
class Key:
    """The key that the device makes for itself: its type and its place."""

    type: Annotated[
        KeyType,
        Doc(
            "The type of key that the device makes. With `method: keys` AWS makes it: RSA 2048.",
            "type: rsa-2048",
        ),
    ] = "ec-p256"
    store: Annotated[
        Literal["file", "pkcs11"],
        Doc(
            "Where the private key is kept: in the state directory, or in a PKCS#11 token.",
            "store: pkcs11",
        ),
    ] = "file"
    module: Annotated[
        str | None,
        FilePath(),
        Doc(
            "The hardware token's PKCS#11 module, a shared library.",
            "module: /usr/lib/softhsm/libsofthsm2.so",
        ),
    ] = None
    token: Annotated[
        str | None,
        Text(checks.token_label, length=32),
        Doc("The hardware token's label, 1 to 32 bytes.", "token: fleet"),
    ] = None
    label: Annotated[
        str,
        Text(checks.key_label, length=64),
        Doc(
            "The key's label: an existing key is used, otherwise one is made. A rotation's key gets a number: "
            "`fleet-agent-0002`.",
            "label: fleet-agent",
        ),
    ] = "fleet-agent"
    pin_file: Annotated[
        str | None,
        FilePath(credential=True),
        Doc("The file that holds the hardware token's PIN.", "pin_file: credential:pkcs11-pin"),
    ] = None

    def __post_init__(self) -> None:
        """A hardware token needs all three keys that name it, and a file none of them.

        Raises:
            WrongValueError: It is not so.
        """
        given = {"module": self.module, "token": self.token, "pin_file": self.pin_file}
        if self.store == "pkcs11" and (
            missing := [name for name, value in given.items() if not value]
        ):
            raise WrongValueError(
                f"is in a hardware token and lacks {', '.join(missing)}",
                "write {store: pkcs11, module: /usr/lib/….so, token: LABEL, pin_file: FILE}",
            )
        if self.store == "file" and (useless := [name for name, value in given.items() if value]):
            raise WrongValueError(
                f"has {', '.join(useless)}, which a key in a file cannot have",
                "write store: pkcs11",
            )


@record
class Provisioning:
    """How the device gets its own identity."""

    template: Annotated[
        str,
        Text(checks.template_name, checks.TEMPLATE_PATTERN),
        Doc("The provisioning template's name: 1 to 36 of 0-9 A-Z a-z _ -.", "template: fleet-v1"),
    ]
    method: Annotated[
        Method,
        Doc(
            "`csr`: the device makes its key, which never leaves it. `keys`: AWS makes it.",
            "method: csr",
        ),
    ] = "csr"
    key: Annotated[Key, Doc("The device's own key.", "key: {type: ec-p256, store: file}")] = Key()
    parameters: Annotated[
        Mapping[str, Source],
        Keys(Text(checks.parameter_name, length=2048)),
        Doc(
            "Values for the template's parameters: strings, or sources (parameters.md).",
            "parameters: {SerialNumber: {dmi: product_serial}, Site: Seattle}",
        ),
    ] = dataclasses.field(default_factory=dict)
    spread: Annotated[
        float,
        Duration(0, 7 * 86400),
        Doc(
            "The time over which a fleet's first connections are spread, 0s to 7d.", "spread: 10m"
        ),
    ] = 0.0

    def __post_init__(self) -> None:
        """Checks that a key made by AWS is not to be in a hardware token.

        Raises:
            WrongValueError: It is to be.
        """
        if self.method == "keys" and self.key.store == "pkcs11":
            raise WrongValueError(
                "lets AWS make the key, which cannot be put into a hardware token",
                "write method: csr",
            )
