"""``fleet-agent claim delete``: the claim's files, deleted from this device."""

import argparse

from fleet_agent.cli import flags
from fleet_agent.cli.outcome import Outcome
from fleet_agent.config.settings import Settings
from fleet_agent.errors import DeviceError
from fleet_agent.identity import claim_removal
from fleet_agent.identity.configured import open_store
from fleet_agent.identity.in_use import in_use

_REMAINS = (
    "Flash memory keeps what was deleted until it erases those blocks, and no one knows when: the key may be read "
    "from the memory itself. Once the last device of the batch has its identity, revoke the claim: "
    "fleet-cloud claim revoke"
)


def register(
    subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]",
    common: argparse.ArgumentParser,
) -> None:
    """Adds the verb."""
    parser = subparsers.add_parser(
        "claim",
        parents=[common],
        help="delete the claim from this device",
        description="delete: deletes the claim's certificate and key, named by the configuration or loaded by the "
        "service as credentials, once the device has an identity of its own. With `claim: {after_success: delete}` "
        "the service does it by itself. Run it as root.",
    )
    parser.add_argument("action", choices=("delete",))
    parser.add_argument(
        "--served",
        action="store_true",
        help="for the service, which counts successful starts: only if the configuration says after_success: delete",
    )
    parser.add_argument(
        "--force", action="store_true", help="even if this device has no identity of its own"
    )
    parser.add_argument("--dry-run", action="store_true", help="only show what would be deleted")
    flags.add_settings(parser)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> Outcome:
    """Runs the verb."""
    settings = flags.settings(arguments)
    claim = settings.claim
    if claim is None:
        raise DeviceError(
            "The configuration names no claim.",
            remedy="There is nothing to delete; see: fleet-agent config show",
            code="claim-missing",
        )
    if arguments.served and claim.after_success == "keep":
        kept = claim_removal.Plan(delete=[], gone=[], stays=["The configuration keeps the claim."])
        return _outcome(kept, is_dry=arguments.dry_run)
    if not (arguments.served or arguments.force):
        _refuse_without_identity(settings)
    wanted = claim_removal.plan(claim)
    if not arguments.dry_run:
        claim_removal.delete(wanted)
    return _outcome(wanted, is_dry=arguments.dry_run)


def _refuse_without_identity(settings: Settings) -> None:
    if in_use(open_store(settings)) is None:
        raise DeviceError(
            "This device has no identity yet, and without the claim it could not get one.",
            remedy="Provision it first: fleet-agent provision; or delete the claim anyway with --force.",
            code="not-provisioned",
        )


def _outcome(wanted: claim_removal.Plan, *, is_dry: bool) -> Outcome:
    deleted = [str(path) for path in wanted.delete]
    data = {
        "dry_run": is_dry,
        "deleted": [] if is_dry else deleted,
        "would_delete": deleted if is_dry else [],
        "gone": [str(path) for path in wanted.gone],
        "stays": list(wanted.stays),
        "remains": _REMAINS if deleted else None,
    }
    verb = "would be deleted" if is_dry else "deleted"
    lines = [f"{path}  {verb}" for path in deleted]
    lines += [f"{path}  already gone" for path in wanted.gone]
    lines += [*wanted.stays, *([_REMAINS] if deleted else [])]
    return Outcome(data=data, lines=lines)
