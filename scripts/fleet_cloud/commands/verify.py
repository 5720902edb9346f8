"""``fleet-cloud verify``: provisions a device for trial and checks what the policies allow and refuse."""

import argparse
import functools
import secrets
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path

from fleet_cloud.aws.calls import Aws, entries, text
from fleet_cloud.aws.tasks import run_all
from fleet_cloud.commands import config
from fleet_cloud.errors import Exit, FleetCloudError, UsageError
from fleet_cloud.fleet import connection, deletion
from fleet_cloud.fleet.connection import Identity, RefusedError, Server
from fleet_cloud.fleet.inventory import ACTIVE, Certificate
from fleet_cloud.fleet.trial_claim import trial_claim
from fleet_cloud.fleet.trust import check_trust
from fleet_cloud.local import files, openssl
from fleet_cloud.local.shell import Variable
from fleet_cloud.options import Context, read_parameters
from fleet_cloud.outcome import Outcome
from fleet_cloud.plan import credentials, templates
from fleet_cloud.plan.hook_settings import SERIAL_PARAMETER
from fleet_cloud.practice.takeovers import Key, Takeovers
from fleet_cloud.practice.verification import Registered, Takeover, Trial, Wanted

NAME = ("verify",)
SUMMARY = "connect as a claim and as a fresh device, and check what is allowed and refused"
DESCRIPTION = """\
Creates a claim, provisions a device with it, and connects as both: they must be able to do their work, and must be
refused everything else: a claim that publishes readings or takes a device's name, a device that publishes to another
thing's topic or connects under another client id. Then it deletes the claim, the thing and both certificates.

If devices may have AWS credentials (up --credentials), the device requests those of each role alias, and of a role
alias that it may not have.

Then it registers the now existing device once more, with the claim and another key, as anybody with a claim and a
serial number could, and reports whether that takes the device over. Without a hook that does not change the exit
status.

The device's serial number is verify- and eight random digits; a fleet with a hook needs one that the hook permits:
--serial, of a device that is not there yet. A template of your own may need more parameters: --parameter.

Connects as a device does, which needs awscrt: the project's environment is taken when it is there.
"""

_REQUEST = Variable("request")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the server and the trial device."""
    parser.add_argument(
        "--serial", metavar="SERIAL", help="the trial device's serial number (default: verify-…)"
    )
    parser.add_argument(
        "--parameter",
        metavar="NAME=VALUE",
        action="append",
        default=[],
        help="another parameter for the template; may be repeated",
    )
    parser.add_argument(
        "--image",
        metavar="DIR",
        type=Path,
        help="the folder that claim new wrote: endpoint and CA are those of its config.yaml",
    )
    parser.add_argument(
        "--device-endpoint",
        metavar="HOST[:PORT]",
        help="where devices connect (default: from --image, else from AWS)",
    )
    parser.add_argument(
        "--ca-file",
        metavar="FILE",
        type=Path,
        help="the CA of the endpoint's certificate (default: from --image, else this machine's store)",
    )


def run(context: Context, arguments: argparse.Namespace) -> Outcome:
    """Makes a claim and a device, tries what each may do, and deletes both."""
    if context.shell.dry_run:
        raise UsageError(
            "verify has no dry run: connecting as a device is what it does",
            remedy="run it without --dry-run; it deletes what it creates",
        )
    given = _given(arguments)
    serial = arguments.serial or f"verify-{secrets.token_hex(4)}"
    parameters = {SERIAL_PARAMETER: serial, **read_parameters(arguments.parameter)}
    connection.need_environment()
    context.shell.need("openssl")
    aws = context.aws()
    server, before, has_hook = _look(context, aws, *given)
    check_trust(server)
    trial = Trial(server, context.names, context.console.say)
    with ExitStack() as afterwards:
        folder = afterwards.enter_context(files.temporary_folder())
        afterwards.callback(_delete_refused, aws, trial)
        claim = afterwards.enter_context(trial_claim(aws, context.names, folder, "verify"))
        other = f"{context.names.fleet}-verify-other"
        trial.of_claim(claim, f"claim-{serial}", other)
        key = _key(context, folder, "device")
        made = _provision(trial, claim, key, parameters)
        afterwards.callback(_delete_device, aws, made, is_new=made.thing not in before)
        trial.of_device(made, other)
        if aliases := credentials.aliases_of(aws, context.names):
            (found,) = aws.ask_all([connection.ask_credentials_endpoint(aws)])
            trial.of_credentials(made, connection.credentials_endpoint_of(found), aliases)
        stranger = _wanted(_key(context, folder, "second"), parameters)
        takeover = trial.take_over(claim, f"claim-{serial}", stranger)
        if takeover.taken:
            is_new = takeover.taken.thing not in {*before, made.thing}
            afterwards.callback(_delete_device, aws, takeover.taken, is_new=is_new)
        if has_hook:
            new_key = functools.partial(_key, context, folder)
            attempts = Takeovers(aws, trial, claim, parameters, new_key)
            other_key = new_key("other")
            second = _other(trial, claim, other_key, parameters)
            if second:
                is_new = second.thing not in before
                afterwards.callback(_delete_device, aws, second, is_new=is_new)
            afterwards.callback(_delete_taken, aws, attempts)
            attempts.run(made, key, f"claim-{serial}", other_key, second)
    return _outcome(context, trial, made, takeover)


def _outcome(context: Context, trial: Trial, made: Registered, takeover: Takeover) -> Outcome:
    wrong = [check for check in trial.checks if not check.is_right]
    return Outcome(
        data={
            "fleet": context.names.fleet,
            "thing": made.thing,
            "checks": [
                {
                    "what": check.attempted,
                    "must_be": check.must_be,
                    "was": check.was,
                    "said": check.said,
                }
                for check in trial.checks
            ],
            "takeover": {
                "was": "possible" if takeover.taken else "refused",
                "thing": takeover.taken.thing if takeover.taken else None,
                "said": takeover.said,
            },
            "right": not wrong,
        },
        lines=[
            *(
                f"{check.attempted}: must be {check.must_be}, was {check.was} {check.said}".rstrip()
                for check in wrong
            ),
            f"{len(trial.checks) - len(wrong)} of {len(trial.checks)} checks passed",
            *about(takeover, made),
        ],
        status=Exit.FAILED if wrong else Exit.DONE,
    )


def _given(arguments: argparse.Namespace) -> tuple[str | None, Path | None]:
    """Returns endpoint and CA, as far as flags or the folder of a claim say them.

    Raises:
        UsageError: That folder has no configuration of fleet-cloud.
    """
    endpoint, ca_file = arguments.device_endpoint, arguments.ca_file
    connection.check_ca_file(ca_file)
    if arguments.image is None:
        return endpoint, ca_file
    server, ca = config.kept_in(arguments.image)
    if server is None:
        raise UsageError(
            f"--image {arguments.image} contains no {config.CONFIG_FILE} of fleet-cloud",
            remedy="pass the folder that fleet-cloud claim new wrote with --image or --out",
        )
    return endpoint or server, ca_file or (arguments.image / ca if ca else None)


def _look(
    context: Context, aws: Aws, given: str | None, ca_file: Path | None
) -> tuple[Server, set[str], bool]:
    """Asks where devices connect, which things there are already, and whether the fleet's hook is asked."""
    endpoint, template, things = aws.ask_all(
        [
            connection.ask_endpoint(aws),
            templates.read(aws, context.names),
            aws.command("iot", "list-things"),
        ]
    )
    if template is None:
        raise templates.missing(context.names.template, aws.region)
    found = connection.endpoint_of(endpoint, given)
    server = Server(endpoint=found, ca_file=ca_file)
    has_hook = templates.is_own_hook(context.names, str(templates.facts(template)["hook"]))
    return server, {text(entry, "thingName") for entry in entries(things, "things")}, has_hook


def _provision(
    trial: Trial, claim: Identity, key: Key, parameters: Mapping[str, str]
) -> Registered:
    serial = parameters[SERIAL_PARAMETER]
    try:
        return trial.provision(claim, f"claim-{serial}", _wanted(key, parameters))
    except RefusedError as error:
        raise FleetCloudError(
            f"the trial device {serial} could not provision: {error}",
            remedy="with a hook, pass a --serial that it permits; with your own template, its --parameter",
            code="provisioning-refused",
        ) from error


def _other(
    trial: Trial, claim: Identity, key: Key, parameters: Mapping[str, str]
) -> Registered | None:
    """Provisions another device; returns nothing where its serial number may not register."""
    serial = f"{parameters[SERIAL_PARAMETER]}-2"
    wanted = _wanted(key, {**parameters, SERIAL_PARAMETER: serial})
    try:
        return trial.provision(claim, f"claim-{serial}", wanted)
    except RefusedError:
        return None


def _key(context: Context, folder: Path, name: str) -> Key:
    """Makes a key and a request, as a device does."""
    path = folder / f"{name}.key"
    context.shell.change(openssl.make_key(path))
    context.shell.change(openssl.make_request(path, "device", _REQUEST))
    return Key(path=path, request=context.shell.value(_REQUEST) + "\n")


def _wanted(key: Key, parameters: Mapping[str, str]) -> Wanted:
    identity = Identity(certificate=key.path.with_suffix(".crt"), key=key.path)
    return Wanted(request=key.request, identity=identity, parameters=parameters)


def about(takeover: Takeover, made: Registered) -> list[str]:
    """Returns the outcome of the takeover, for people."""
    if takeover.taken is None:
        return [f"a claim does not take over an existing device: {takeover.said}"]
    if takeover.taken.thing != made.thing:
        return [
            f"when it registered again, the device became another thing, {takeover.taken.thing}"
        ]
    return [
        f"whoever has a claim and knows a serial number becomes that device: {made.thing} got a second certificate",
        "  so keep claims secret, and deactivate them once their batch is provisioned: fleet-cloud claim revoke",
        "  a thing with two active certificates may be such a case: fleet-cloud devices prune lists them",
    ]


def _delete(aws: Aws, arn: str, kind: str, things: Sequence[str] = ()) -> None:
    certificate = Certificate(arn=arn, status=ACTIVE, created=None)
    _report(
        aws,
        run_all(aws, [(kind, deletion.certificate_commands(aws, certificate, things))], ""),
    )


def _delete_refused(aws: Aws, trial: Trial) -> None:
    account = aws.account()
    for identifier in trial.refused:
        _delete(aws, account.iot(f"cert/{identifier}"), "a refused certificate")


def _delete_taken(aws: Aws, attempts: Takeovers) -> None:
    for taken in attempts.taken:
        _delete_device(aws, taken, is_new=False)


def _delete_device(aws: Aws, made: Registered, *, is_new: bool) -> None:
    account = aws.account()
    _delete(aws, account.iot(f"cert/{made.certificate_id}"), "the certificate", [made.thing])
    if is_new:
        command = aws.command("iot", "delete-thing", "--thing-name", made.thing)
        _report(aws, run_all(aws, [(made.thing, [command])], ""))


def _report(aws: Aws, left: Mapping[str, Exception]) -> None:
    for name, error in left.items():
        aws.shell.console.say(f"  {name} could not be deleted: {error}")
