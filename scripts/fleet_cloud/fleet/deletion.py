"""The commands that delete certificates and things, in the order that AWS demands.

A certificate goes off its things, is switched off, and is deleted: AWS refuses to delete one that is active or that a
thing has. Detaching takes AWS some seconds, so what it refuses for that reason is tried again.
"""

from collections.abc import Sequence

from fleet_cloud.aws.calls import Aws
from fleet_cloud.fleet.inventory import ACTIVE, Certificate, Thing
from fleet_cloud.local.shell import Command


def switch_off(aws: Aws, certificate: Certificate) -> Command:
    """Returns the command after which no connection with a certificate is accepted."""
    return aws.command(
        "iot",
        "update-certificate",
        *("--certificate-id", certificate.identifier),
        *("--new-status", "INACTIVE"),
    )


def certificate_commands(
    aws: Aws, certificate: Certificate, things: Sequence[str] = ()
) -> list[Command]:
    """Returns the commands that delete a certificate that these things have."""
    return [
        *([switch_off(aws, certificate)] if certificate.status == ACTIVE else []),
        *(
            aws.command(
                "iot",
                "detach-thing-principal",
                *("--thing-name", name),
                *("--principal", certificate.arn),
            )
            for name in things
        ),
        # It waives the policies, which are thereby detached; it does not waive things and the state.
        aws.command(
            "iot",
            "delete-certificate",
            *("--certificate-id", certificate.identifier),
            "--force-delete",
        ),
    ]


def thing_commands(aws: Aws, thing: Thing) -> list[Command]:
    """Returns the commands that delete a thing with its certificates."""
    commands = [
        certificate_commands(aws, certificate, [thing.name]) for certificate in thing.certificates
    ]
    # The certificates last: after an interruption they show whose the rest is.
    return [
        *(command for those in commands for command in those[:-1]),
        aws.command("iot", "delete-thing", "--thing-name", thing.name),
        *(those[-1] for those in commands),
    ]
