"""``fleet-cloud claim revoke``: deactivates claims at once."""

import argparse
from collections.abc import Sequence
from pathlib import Path

from fleet_cloud import confirm
from fleet_cloud.errors import UsageError
from fleet_cloud.fleet import claims, deletion, inventory
from fleet_cloud.fleet.claim_folder import ClaimFolder
from fleet_cloud.fleet.claims import Claim
from fleet_cloud.fleet.inventory import ACTIVE
from fleet_cloud.local import files, openssl
from fleet_cloud.options import Context
from fleet_cloud.outcome import Outcome, table

NAME = ("claim", "revoke")
SUMMARY = "deactivate claims at once"
DESCRIPTION = """\
Deactivates claims: from then on no device can connect with them. Devices that have their own certificate are not
affected. A claim is given by the beginning of its certificate id, as claim list shows it, or by the folder that claim
new wrote. --leftovers means everything that an interrupted claim new left behind.

A deactivated claim can be activated again (aws iot update-certificate --new-status ACTIVE); --delete deletes it for
good, after asking.
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the flags for which claims, and whether to delete them."""
    parser.add_argument(
        "claims", metavar="CLAIM", nargs="*", help="the beginning of an id, or a folder"
    )
    parser.add_argument(
        "--leftovers",
        action="store_true",
        help="everything that an interrupted claim new left behind",
    )
    parser.add_argument("--delete", action="store_true", help="also delete them")
    confirm.add_to(parser)


def run(context: Context, arguments: argparse.Namespace) -> Outcome:
    """Deactivates, and deletes if that was requested."""
    given: Sequence[str] = arguments.claims
    if not given and not arguments.leftovers:
        raise UsageError(
            "no claim was named", remedy="name a claim as fleet-cloud claim list shows it"
        )
    wanted = [_identifier(name) for name in given]
    aws = context.aws()
    held = inventory.holdings(aws, context.names)
    found = claims.gather(aws, context.names, held, everything=arguments.leftovers).claims
    picked = claims.pick(found, wanted)
    if arguments.leftovers:
        picked += [claim for claim in found if claim.state == "leftover" and claim not in picked]
    changed = _switch_off(context, picked)
    if arguments.delete and picked:
        confirm.confirm(context, f"Permanently delete {len(picked)} claims?", yes=arguments.yes)
        for claim in picked:
            # It is already deactivated.
            for command in deletion.certificate_commands(aws, claim.certificate)[-1:]:
                aws.change(command)
    state = "deleted" if arguments.delete else "revoked"
    rows = [[claim.certificate.identifier, claim.batch or "-", state] for claim in picked]
    return Outcome(
        data={
            "fleet": context.names.fleet,
            "dry_run": context.shell.dry_run,
            "changed": bool(changed or (arguments.delete and picked)),
            "claims": [
                {"certificate_id": claim.certificate.identifier, "state": state}
                for claim in picked
            ],
        },
        lines=table(rows) if rows else ["nothing to do: there are no leftovers"],
    )


def _switch_off(context: Context, picked: Sequence[Claim]) -> list[Claim]:
    aws = context.aws()
    changed = [claim for claim in picked if claim.certificate.status == ACTIVE]
    for claim in changed:
        context.console.say(f"  deactivating {claim.certificate.identifier}")
        aws.change(deletion.switch_off(aws, claim.certificate))
    return changed


def _identifier(given: str) -> str:
    """Returns a claim's id, or the beginning of one, from what was typed."""
    folder = ClaimFolder(Path(given))
    pem = files.read(folder.certificate) if folder.path.is_dir() else None
    return openssl.certificate_id(pem, folder.certificate) if pem else given
