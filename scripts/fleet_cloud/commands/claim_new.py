"""``fleet-cloud claim new``: a long-lived claim certificate for a batch of devices, its key made here."""

import argparse
import datetime as dt
import re

from fleet_cloud.aws.calls import Aws, text
from fleet_cloud.aws.names import Account, check_not_claim
from fleet_cloud.commands import config
from fleet_cloud.errors import FleetCloudError, UsageError
from fleet_cloud.fleet import certify
from fleet_cloud.fleet.claim_folder import ClaimFolder
from fleet_cloud.local import openssl
from fleet_cloud.local.shell import Variable
from fleet_cloud.options import Context
from fleet_cloud.outcome import Outcome
from fleet_cloud.plan import resources, templates
from fleet_cloud.plan.reconcile import compare, ensure

NAME = ("claim", "new")
SUMMARY = "create a claim certificate for a batch of devices"
DESCRIPTION = """\
Creates claim.private.pem.key and claim.certificate.pem.crt (both 0600), with config.yaml beside them: the files for the
image of a batch of devices. With --image DIR they are laid out for the device: DIR becomes /etc/fleet-agent.

The key is made here with openssl and never leaves this machine; AWS IoT signs a request. The claim may provision with
this fleet's template and nothing else (policy NAME-claim, created if missing).

With --aws-keys, AWS IoT makes the key and sends it once; the certificate then does not name the batch.

When run again with the same folder, it changes nothing and says so; after an interruption, it continues with the
existing files. An existing key or config.yaml is never overwritten; if flags contradict it, the exit status is 1, and
fleet-cloud config --force changes it.
"""

_BATCH = re.compile(r"[0-9A-Za-z][0-9A-Za-z._-]{0,15}")
_REQUEST = Variable("claim_request")
_ARN = Variable("claim_arn")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the flags for the folder and the batch."""
    config.add_place(parser)
    parser.add_argument(
        "--batch",
        metavar="NAME",
        help="name of the batch of devices, for the certificate's subject (default: today's date)",
    )
    parser.add_argument(
        "--aws-keys", action="store_true", help="let AWS IoT make the key and send it"
    )
    config.add_for_claim(parser)


def run(context: Context, arguments: argparse.Namespace) -> Outcome:
    """Makes the claim, or the rest of it."""
    check_not_claim("--name", context.names.fleet)
    batch, folder = _batch(arguments.batch), config.claim_folder(arguments)
    config.check(arguments)
    context.shell.need("openssl")
    aws = context.aws()
    certificate_id = folder.certificate_id(context.shell)
    account = aws.account()
    _check_fleet(context, aws, account)
    if arguments.aws_keys and not certificate_id and folder.key.exists():
        raise UsageError(
            f"--aws-keys is set, but the key {folder.key} already exists",
            remedy="without --aws-keys that key is certified; or choose another --out",
        )
    if certificate_id:
        arn = account.iot(f"cert/{certificate_id}")
        state = _finish(context, aws, folder, arn)
    else:
        arn = (
            _take(context, aws, folder)
            if arguments.aws_keys
            else _make(context, aws, folder, batch)
        )
        state = "missing" if context.shell.dry_run else "created"
    configured = config.for_claim(context, arguments)
    return _outcome(context, folder, arn, state, configured)


def _batch(given: str | None) -> str:
    if given is None:
        return dt.datetime.now(dt.UTC).date().isoformat()
    if not _BATCH.fullmatch(given):
        raise UsageError(
            f"--batch {given!r} cannot name a batch",
            remedy="use 1 to 16 of the characters 0-9 A-Z a-z . _ - beginning with a letter or digit",
        )
    return given


def _check_fleet(context: Context, aws: Aws, account: Account) -> None:
    """Checks that the template is there, and makes the claim policy if it is not."""
    policy = resources.claim_policy(aws, context.names, account)
    found, described = aws.ask_all([policy.read, templates.read(aws, context.names)])
    if described is None:
        raise templates.missing(
            context.names.template, account.region, "a claim could not be used"
        )
    finding = compare(policy, found)
    if finding.state == "missing":
        ensure(aws, policy, found)
    if finding.drift:
        raise FleetCloudError(
            f"the claim policy {policy.name} is not what fleet-cloud would create; it differs in "
            f"{', '.join(finding.drift)}",
            remedy="correct it with fleet-cloud up (--dry-run shows the changes first), or choose another --name",
            code="policy-differs",
        )


def _make(context: Context, aws: Aws, folder: ClaimFolder, batch: str) -> str:
    """Makes the key unless it exists, then the certificate, and then attaches the policy.

    In this order an interruption leaves nothing that can do anything: a key without a certificate, or a
    certificate without a policy.
    """
    shell, names = context.shell, context.names
    shell.make_folder(folder.path, 0o700)
    if not folder.key.exists():
        context.console.say(f"  making the key {folder.key}")
        shell.change(openssl.make_key(folder.key))
    shell.change(openssl.make_request(folder.key, f"{names.fleet} claim {batch}", _REQUEST))
    context.console.say("  requesting a certificate for it from AWS IoT")
    aws.change(certify.command(aws, _REQUEST, folder.certificate, _ARN))
    shell.make_private(folder.certificate)
    _attach(context, aws, _ARN)
    return shell.value(_ARN)


def _take(context: Context, aws: Aws, folder: ClaimFolder) -> str:
    """Has AWS make key and certificate, and attaches the policy."""
    context.shell.make_folder(folder.path, 0o700)
    context.console.say("  requesting a key and a certificate from AWS IoT")
    command = aws.command("iot", "create-keys-and-certificate", "--set-as-active")
    answer = folder.take(aws, command)
    arn: str | Variable = text(answer, "certificateArn") if answer else _ARN
    if isinstance(arn, Variable):
        context.shell.change(folder.out_of_answer("['certificateArn']", into=arn))
    _attach(context, aws, arn)
    return context.shell.value(arn) if isinstance(arn, Variable) else arn


def _finish(context: Context, aws: Aws, folder: ClaimFolder, arn: str) -> str:
    """Compares a certificate that exists with AWS; attaches the policy if an earlier run could not.

    Returns:
        ``unchanged`` or ``finished``.
    """
    described, attached = aws.ask_all(
        [
            aws.command("iot", "describe-certificate", "--certificate-id", arn.rpartition("/")[2]),
            aws.command("iot", "list-attached-policies", "--target", arn),
        ]
    )
    if described is None:
        raise FleetCloudError(
            f"AWS IoT does not know the certificate {folder.certificate} in this account and region: {arn}",
            remedy="check --profile and --region, or choose another --out for a new claim",
            code="certificate-unknown",
        )
    status = text(described, "certificateDescription", "status")
    if status != "ACTIVE":
        raise FleetCloudError(
            f"the claim certificate {folder.certificate} is {status}: {arn}",
            remedy="choose another --out for a new claim; this one has been deactivated",
            code="certificate-inactive",
        )
    policies = (attached or {}).get("policies")
    names = [text(entry, "policyName") for entry in policies] if isinstance(policies, list) else []
    if context.names.claim_policy in names:
        return "unchanged"
    if names:
        raise FleetCloudError(
            f"{folder.certificate} has another policy: {', '.join(names)}; it is another fleet's claim",
            remedy="choose another --out, or pass the --name of that fleet",
            code="claim-of-another-fleet",
        )
    _attach(context, aws, arn)
    return "finished"


def _attach(context: Context, aws: Aws, arn: str | Variable) -> None:
    policy = context.names.claim_policy
    context.console.say(f"  attaching the policy {policy}")
    aws.change(aws.command("iot", "attach-policy", "--policy-name", policy, "--target", arn))


def _outcome(
    context: Context, folder: ClaimFolder, arn: str, state: str, configured: Outcome | None
) -> Outcome:
    words = {
        "created": "made",
        "unchanged": "already exists, nothing to do",
        "finished": "finished",
    }
    certificate_id = arn.rpartition("/")[2]
    return Outcome(
        data={
            "fleet": context.names.fleet,
            "template": context.names.template,
            "policy": context.names.claim_policy,
            "dry_run": context.shell.dry_run,
            "state": state,
            "certificate_arn": arn,
            "certificate_id": certificate_id,
            "certificate_file": str(folder.certificate),
            "private_key_file": str(folder.key),
            "config": dict(configured.data) if configured else None,
        },
        lines=[
            f"claim {certificate_id} {words.get(state, state)}",
            f"  {folder.certificate}",
            f"  {folder.key}   (secret: whoever has it can register devices)",
            *([f"  {line}" for line in configured.lines] if configured else []),
        ],
    )
