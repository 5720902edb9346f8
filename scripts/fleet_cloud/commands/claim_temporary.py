"""``fleet-cloud claim temporary``: a claim for one device on the bench, good for five minutes."""

import argparse

from fleet_cloud.aws import times
from fleet_cloud.aws.calls import text
from fleet_cloud.commands import config
from fleet_cloud.errors import CommandError, FleetCloudError
from fleet_cloud.options import Context
from fleet_cloud.outcome import Outcome
from fleet_cloud.plan import templates

NAME = ("claim", "temporary")
SUMMARY = "get a claim that expires in five minutes"
DESCRIPTION = """\
Gets a claim from AWS IoT that expires in five minutes and needs no policy: for a device that a person provisions by
hand. Writes claim.private.pem.key and claim.certificate.pem.crt (both 0600), with config.yaml beside them, and prints
when it expires. AWS makes the key of such a claim and sends it once.
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the flags that say where the claim goes."""
    config.add_place(parser)
    config.add_for_claim(parser)


def run(context: Context, arguments: argparse.Namespace) -> Outcome:
    """Gets the claim and writes it."""
    folder = config.claim_folder(arguments)
    folder.check_empty()
    config.check(arguments)
    aws = context.aws()
    template = context.names.template
    command = aws.command("iot", "create-provisioning-claim", "--template-name", template)
    context.shell.make_folder(folder.path, 0o700)
    data = {"fleet": context.names.fleet, "template": template, "dry_run": context.shell.dry_run}
    try:
        answer = folder.take(aws, command)
    except CommandError as error:
        if error.code != "ResourceNotFoundException":
            raise
        raise templates.missing(template, aws.region) from error
    configured = config.for_claim(context, arguments)
    if answer is None:
        return Outcome(data=data, lines=[])
    certificate_id, ends = text(answer, "certificateId"), end_of(answer.get("expiration"))
    return Outcome(
        data={
            **data,
            "certificate_id": certificate_id,
            "certificate_file": str(folder.certificate),
            "private_key_file": str(folder.key),
            "ends": ends,
            "config": dict(configured.data) if configured else None,
        },
        lines=[
            f"temporary claim {certificate_id}",
            f"  ends {ends}",
            f"  {folder.certificate}",
            f"  {folder.key}   (secret until then)",
            *([f"  {line}" for line in configured.lines] if configured else []),
        ],
    )


def end_of(expiration: object) -> str:
    """Returns the end of a claim in UTC: version 1 of the AWS CLI writes seconds, version 2 a date.

    Raises:
        FleetCloudError: It is neither.
    """
    end = times.moment(expiration)
    if end is None:
        raise FleetCloudError(
            f"AWS returned {expiration!r} as the end of the claim, which is not a time",
            remedy="check --endpoint-url; the claim itself was written and expires in about five minutes",
            code="answer-unknown",
        )
    return times.text(end)
