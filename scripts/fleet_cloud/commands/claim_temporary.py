"""``fleet-cloud claim temporary``: a claim for one device on the bench, good for five minutes."""

import argparse
import dataclasses
from pathlib import Path

from fleet_cloud import files, times
from fleet_cloud.aws import parse, text
from fleet_cloud.claimfolder import ClaimFolder
from fleet_cloud.commands import Outcome
from fleet_cloud.errors import CommandError, FleetCloudError
from fleet_cloud.options import Context

NAME = ("claim", "temporary")
SUMMARY = "get a claim that ends in five minutes"
DESCRIPTION = """\
Gets a claim from AWS IoT that ends in five minutes and needs no policy: for a device that a person provisions by
hand. Writes claim.private.pem.key (0600) and claim.certificate.pem.crt in DIR and says when it ends. AWS makes the
key of such a claim, so it does travel, once.
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add where to."""
    parser.add_argument(
        "--out", metavar="DIR", type=Path, required=True, help="the folder for the two files"
    )


def run(context: Context, arguments: argparse.Namespace) -> Outcome:
    """Get the claim and write it."""
    folder = ClaimFolder(arguments.out)
    folder.check_empty()
    aws = context.aws()
    template = context.names.template
    command = aws.command("iot", "create-provisioning-claim", "--template-name", template)
    context.shell.make_folder(folder.path, 0o700)
    data = {"fleet": context.names.fleet, "template": template, "dry_run": context.shell.dry_run}
    if context.shell.dry_run:
        # Its answer holds the key: by hand it goes into a file, never onto the terminal.
        answer_file = folder.path / "claim.json"
        aws.change(dataclasses.replace(command, secret_file=answer_file))
        return Outcome(data={**data, "answer_file": str(answer_file)}, lines=[])
    try:
        answer = parse(aws.change(command), command)
    except CommandError as error:
        if error.code != "ResourceNotFoundException":
            raise
        raise FleetCloudError(
            f"there is no provisioning template {template} in {aws.region}",
            remedy="set the fleet up first: fleet-cloud up (with the same --name and --region)",
            code="template-missing",
        ) from error
    files.create_secret(folder.key, text(answer, "keyPair", "PrivateKey"))
    files.write_public(folder.certificate, text(answer, "certificatePem"))
    certificate_id, ends = text(answer, "certificateId"), end_of(answer.get("expiration"))
    return Outcome(
        data={
            **data,
            "certificate_id": certificate_id,
            "certificate_file": str(folder.certificate),
            "private_key_file": str(folder.key),
            "ends": ends,
        },
        lines=[
            f"temporary claim {certificate_id}",
            f"  ends {ends}",
            f"  {folder.certificate}",
            f"  {folder.key}   (secret until then)",
        ],
    )


def end_of(expiration: object) -> str:
    """Return the end of a claim in UTC: version 1 of the AWS CLI tells seconds, version 2 a date.

    Raises:
        FleetCloudError: It is neither.
    """
    end = times.moment(expiration)
    if end is None:
        raise FleetCloudError(
            f"AWS told no end of the claim but {expiration!r}",
            remedy="check --endpoint-url; the claim itself is written and ends in about five minutes",
            code="answer-unknown",
        )
    return times.text(end)
