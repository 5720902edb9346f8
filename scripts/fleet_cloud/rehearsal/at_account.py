"""A rehearsal in an account or a sandbox: prepared, run, and everything deleted again."""

import argparse
import dataclasses
import secrets
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

from fleet_agent.config.pkcs11_uri import is_uri
from fleet_agent.config.settings import Settings
from fleet_cloud import confirm
from fleet_cloud.aws.calls import Aws
from fleet_cloud.aws.names import Account
from fleet_cloud.console import duration
from fleet_cloud.errors import Exit, FleetCloudError, UsageError
from fleet_cloud.fleet import connection, spread
from fleet_cloud.fleet.configuration import Endpoint
from fleet_cloud.fleet.connection import Identity, Server
from fleet_cloud.fleet.trial_claim import trial_claim
from fleet_cloud.fleet.trust import check_trust
from fleet_cloud.local import files, quoting
from fleet_cloud.options import Context, read_parameters
from fleet_cloud.outcome import Outcome
from fleet_cloud.plan import templates
from fleet_cloud.rehearsal import configuration as configuring
from fleet_cloud.rehearsal import journal, outlook, report, sandbox
from fleet_cloud.rehearsal import scenario as scenarios
from fleet_cloud.rehearsal.made import MadeFile
from fleet_cloud.rehearsal.run import Stage, rehearse
from fleet_cloud.rehearsal.scenario import Scenario

# What AWS charges, in dollars: a million messages, a million minutes of connection, a million calls of a function.
_MESSAGES, _MINUTES, _HOOK = 1.0, 0.08, 0.2
# For each device: messages with their answers, and the calls that delete it again.
_MESSAGES_EACH, _CALLS_EACH = 10, 5
_LAST_PORT = 65_535


def run(context: Context, arguments: argparse.Namespace) -> Outcome:
    """Rehearses, cleans up, or merges reports."""
    if arguments.merge:
        return _merge(arguments.merge, arguments.out)
    made = MadeFile(arguments.out)
    if arguments.clean:
        return _clean(context, made)
    if made.path.exists():
        raise FleetCloudError(
            f"{made.path} lists what an earlier rehearsal left in the account",
            remedy=f"remove it: fleet-cloud rehearse --clean --out {quoting.word(arguments.out)}",
            code="rehearsal-unclean",
        )
    configured = configuring.of_image(arguments.config) if arguments.config else None
    scenario = _scenario(arguments, configured)
    aws = context.aws()
    switches = _switches(aws, scenario)
    source = configured or _server(context, aws, arguments)
    if context.shell.dry_run:
        context.console.script(f"# would rehearse: {scenario.words}")
        return Outcome(data={"dry_run": True, **scenario.data()}, lines=[])
    if switches is None:
        _ask(context, aws.account(), scenario, yes=arguments.yes)
    files.make_folder(arguments.out, 0o755)
    with ExitStack() as stack:
        stack.callback(_take_away, aws, aws.account(), made)
        if switches is not None:
            stack.enter_context(sandbox.switched(str(aws.endpoint_url), switches))
        settings = stack.enter_context(_configured(context, aws, source))
        _check_server(settings)
        stage = Stage(
            settings=settings,
            parameters=read_parameters(arguments.parameter),
            made=made,
            console=context.console,
            port=arguments.web,
        )
        context.console.say(f"  {scenario.words}")
        found, summary = rehearse(scenario, stage)
        report.write(arguments.out, found, summary)
    return _outcome(arguments.out, summary, scenario, made)


def _scenario(arguments: argparse.Namespace, settings: Settings | None) -> Scenario:
    """Returns the scenario that the flags describe."""
    if arguments.devices is None:
        raise UsageError("--devices is missing", remedy="such as --devices 200")
    if arguments.web is not None and not 0 <= arguments.web <= _LAST_PORT:
        raise UsageError(
            f"--web {arguments.web} is not a port", remedy=f"pass a port from 0 to {_LAST_PORT}"
        )
    given: str | None = arguments.spread
    scenario = Scenario(
        devices=arguments.devices,
        power_on=arguments.power_on,
        quota=arguments.quota,
        spread=scenarios.seconds("--spread", given) if given is not None else 0.0,
        limit=arguments.max_minutes * 60,
        tries=tuple(dict.fromkeys(arguments.tries)),
        shard=scenarios.shard(arguments.shard),
        prefix=arguments.serial_prefix,
    )
    scenarios.check(scenario)
    if given is not None:
        return scenario
    fits = float(spread.window_seconds(scenario.devices, scenario.quota))
    configured = settings.provisioning.spread if settings and settings.provisioning else fits
    return dataclasses.replace(scenario, spread=configured)


def _switches(aws: Aws, scenario: Scenario) -> list[sandbox.Switch] | None:
    """Returns what is to be switched on in a sandbox; nothing in an account.

    Raises:
        UsageError: It is an account, which cannot be switched.
    """
    if sandbox.is_sandbox(aws.endpoint_url):
        slow = [sandbox.slow_hook()] if outlook.SLOW in scenario.tries else []
        return [*sandbox.quotas(scenario.effective_quota), *slow]
    if {outlook.HALF, outlook.SLOW} & {*scenario.tries}:
        raise UsageError(
            "--try half-quota and --try slow-hook need a sandbox",
            remedy="remove them: the simulation in the report has both",
        )
    return None


def _server(context: Context, aws: Aws, arguments: argparse.Namespace) -> Server:
    """Asks where devices connect, and whether there is a template for them."""
    described, template = aws.ask_all(
        [connection.ask_endpoint(aws), templates.read(aws, context.names)]
    )
    if template is None:
        raise templates.missing(context.names.template, aws.region)
    endpoint = connection.endpoint_of(described, arguments.device_endpoint)
    return Server(endpoint=endpoint, ca_file=arguments.ca_file)


@contextmanager
def _configured(context: Context, aws: Aws, source: Settings | Server) -> Iterator[Settings]:
    """Provides the image's configuration, or one with a temporary claim."""
    if isinstance(source, Settings):
        yield source
        return
    with (
        files.temporary_folder() as folder,
        trial_claim(aws, context.names, folder, "rehearsal") as claim,
    ):
        yield configuring.of_fleet(source, claim, context.names.template)


def _check_server(settings: Settings) -> None:
    """Connects once with the claim, before hundreds try.

    Raises:
        FleetCloudError: AWS IoT cannot be reached; the remedy says what to give.
    """
    claim = settings.claim
    if claim is None or is_uri(claim.private_key):
        return
    server = Server(
        endpoint=Endpoint(settings.endpoint, settings.port),
        ca_file=Path(settings.ca_file) if settings.ca_file else None,
    )
    check_trust(server)
    identity = Identity(certificate=Path(claim.certificate), key=Path(claim.private_key))
    connection.check_reachable(
        server, [connection.knock(server, identity, f"claim-{secrets.token_hex(8)}")]
    )


def _ask(context: Context, account: Account, scenario: Scenario, *, yes: bool) -> None:
    """Prints what it costs, and asks for confirmation."""
    devices = len(scenario.numbers)
    minutes = devices * min(scenario.limit, 2 * scenario.bound) / 60
    dollars = (
        devices * _MESSAGES_EACH * _MESSAGES + minutes * _MINUTES + devices * _HOOK
    ) / 1_000_000
    rows = [
        ["connections", f"{2 * devices}, of which {devices} stay until the end"],
        ["provisioning requests", f"{2 * devices} and more, at {scenario.quota:g} a second"],
        ["calls of the hook", f"{devices} and more, each with calls to the registry"],
        ["things and certificates", f"{devices} each, deleted with {_CALLS_EACH * devices} calls"],
        ["at AWS's list prices", f"about ${max(dollars, 0.01):.2f}"],
    ]  # fmt: skip
    question = (
        f"Rehearse with {devices} devices in account {account.number}, {account.region}? Other devices of the account "
        f"share its quotas for about {duration(scenario.bound)}."
    )
    confirm.confirm(context, question, yes=yes, rows=rows)


def _take_away(aws: Aws, account: Account, made: MadeFile) -> int:
    left = made.clean(aws, account)
    for name, error in left.items():
        aws.shell.console.say(f"  {name} could not be deleted: {error}")
    return len(left)


def _clean(context: Context, made: MadeFile) -> Outcome:
    aws = context.aws()
    count = len(made.read())
    left = _take_away(aws, aws.account(), made)
    return Outcome(
        data={"dry_run": context.shell.dry_run, "certificates": count, "left": left},
        lines=[f"{count - left} of {count} certificates were deleted, with their things"],
        status=Exit.FAILED if left else Exit.DONE,
    )


def _merge(paths: Sequence[Path], out: Path) -> Outcome:
    found = journal.merged([report.read(path) for path in paths])
    summary = report.of(found, (found.ended or found.began) - found.began)
    report.write(out, found, summary)
    return Outcome(data=_data(out, summary), lines=_lines(out, summary))


def _outcome(out: Path, summary: report.Report, scenario: Scenario, made: MadeFile) -> Outcome:
    figures = summary["figures"]
    all_in = isinstance(figures, dict) and figures["in"] == figures["devices"]
    advice = report.advice(scenario.devices, scenario.quota, scenario.spread)
    left = made.path.exists()
    again = f"not everything was deleted: fleet-cloud rehearse --clean --out {quoting.word(out)}"
    return Outcome(
        data={**_data(out, summary), "dry_run": False, "left": left},
        lines=[*_lines(out, summary), *([advice] if advice else []), *([again] if left else [])],
        status=Exit.DONE if all_in and not left else Exit.FAILED,
    )


def _data(out: Path, summary: report.Report) -> dict[str, object]:
    return {**summary, "report": str(out / report.PAGE), "data": str(out / report.DATA)}


def _lines(out: Path, summary: report.Report) -> list[str]:
    """Returns the outcome, for people."""
    figures = summary["figures"]
    if not isinstance(figures, dict):
        raise TypeError(figures)
    all_by = figures["all_by"]
    times = figures["all_by_times_bound"]
    requests = figures["requests"]
    return [
        f"{figures['in']} of {figures['devices']} devices have their identity"
        + (
            f", all by {duration(all_by)}, {times:.3g} times what the quota needs" if times else ""
        ),
        *(
            [f"{requests['mean']} requests a device, 99 of 100 within {requests['p99']}"]
            if requests
            else []
        ),
        *(
            f"  {refusal['request']}: {refusal['said']}, {refusal['count']} times"
            for refusal in figures["refusals"]
        ),
        f"{out / report.PAGE} has the charts",
    ]
