"""A claim for a trial: made here, with the fleet's claim policy, and always deleted afterwards."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from fleet_cloud.aws.calls import Aws
from fleet_cloud.aws.names import FleetNames
from fleet_cloud.aws.tasks import run_all
from fleet_cloud.fleet import certify, deletion
from fleet_cloud.fleet.connection import Identity
from fleet_cloud.fleet.inventory import ACTIVE, Certificate
from fleet_cloud.local import openssl
from fleet_cloud.local.shell import Variable

_REQUEST = Variable("request")
_ARN = Variable("claim_arn")


@contextmanager
def trial_claim(aws: Aws, names: FleetNames, folder: Path, purpose: str) -> Iterator[Identity]:
    """Provides the claim's files in a folder; ``purpose`` is part of its subject."""
    shell = aws.shell
    identity = Identity(certificate=folder / "claim.pem.crt", key=folder / "claim.pem.key")
    shell.change(openssl.make_key(identity.key))
    shell.change(openssl.make_request(identity.key, f"{names.fleet} claim {purpose}", _REQUEST))
    aws.change(certify.command(aws, _REQUEST, identity.certificate, _ARN))
    arn = shell.value(_ARN)
    try:
        aws.change(
            aws.command(
                "iot", "attach-policy", "--policy-name", names.claim_policy, "--target", arn
            )
        )
        yield identity
    finally:
        certificate = Certificate(arn=arn, status=ACTIVE, created=None)
        commands = deletion.certificate_commands(aws, certificate)
        for name, error in run_all(aws, [("the claim", commands)], "").items():
            shell.console.say(f"  {name} could not be deleted: {error}")
