"""Takes away what a run made, found by tags, names and the run's folder: after it, after Ctrl-C, after a crash."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from botocore.exceptions import BotoCoreError, ClientError

from fleet_acceptance.account import listing, removal, tags
from fleet_acceptance.account.cloud import Cloud
from fleet_acceptance.account.journal import Folder
from fleet_acceptance.account.listing import KINDS, Listing
from fleet_acceptance.device import keys
from fleet_acceptance.errors import AcceptanceError

# The names that the flow of numbered things has, whoever makes them.
_NUMBERED = {"madeBy": "fleet-cloud"}


@dataclass
class Removal:
    """What became of it: kinds and names."""

    deleted: list[str] = field(default_factory=list)
    left: dict[str, str] = field(default_factory=dict)


def runs(cloud: Cloud, out: Path) -> Iterator[tuple[str, Folder | None]]:
    """Yields the runs that are in the account by a tag, and those whose folders are there."""
    folders = {folder.run: folder for folder in Folder.all_in(out)}
    there = listing.everything(cloud)
    named = {
        found
        for kind, names in there.items()
        if kind not in tags.UNTAGGED
        for name in names
        if (found := listing.run_of(name)) and tags.is_mine(cloud, kind, name, found)
    }
    for run in sorted(named | folders.keys()):
        yield run, folders.get(run)


def take_away(
    cloud: Cloud, run: str, folder: Folder | None, say: Callable[[str], None]
) -> Removal:
    """Deletes all that a run made, in AWS's order; what cannot be deleted is named."""
    done = Removal()
    before = (folder.before() if folder else None) or {}
    if folder:
        _numbered_things(cloud, run, folder, before, done)
    listed = listing.everything(cloud)
    there = listing.of_run(listed, run) | {"CA": _cas(cloud, listed, run)}
    there["certificate"] = _certificates(cloud, folder, before) if folder else []
    for name in there.get("thing type", []):
        # It may go five minutes after: the sooner, the better.
        removal.deprecate(cloud, name)
    for kind in KINDS:
        for name in there.get(kind.word, []):
            is_new = bool(before) and name not in before.get(kind.word, [])
            if not is_new and not tags.is_mine(cloud, kind.word, name, run):
                done.left[f"{kind.word} {name}"] = "it does not bear the tags of the run"
                continue
            say(f"  deleting {kind.word} {_short(name)}")
            _delete(cloud, kind.word, name, done)
    return done


def left_of(cloud: Cloud, run: str, folder: Folder | None) -> list[str]:
    """Gives what is still there of a run: what bears its name, and certificates of its record."""
    there = listing.everything(cloud)
    certificates = set(folder.certificates() if folder else ()) & set(there.get("certificate", ()))
    named = listing.of_run(there, run) | {"CA": _cas(cloud, there, run)}
    return [
        *(f"{kind} {name}" for kind, names in named.items() for name in names),
        *(f"certificate {certificate}" for certificate in sorted(certificates)),
    ]


def _cas(cloud: Cloud, there: Listing, run: str) -> list[str]:
    """Gives the run's own CAs, whose names say nothing: by their tags."""
    return [each for each in there.get("CA", ()) if tags.is_mine(cloud, "CA", each, run)]


def _certificates(cloud: Cloud, folder: Folder, before: Listing) -> list[str]:
    """Gives the run's certificates that are there: by its record, and by its keys where no answer ever came."""
    there = set(listing.everything(cloud, "certificate").get("certificate", []))
    there -= set(before.get("certificate", []))
    recorded = there & set(folder.certificates())
    if not before:
        return sorted(recorded)
    ours = folder.public_keys()
    for each in there - recorded:
        try:
            found = cloud.iot.describe_certificate(certificateId=each)["certificateDescription"]
            if keys.public_part(found["certificatePem"]) in ours:
                recorded.add(each)
        except (ClientError, ValueError):
            continue  # gone meanwhile, or another kind of certificate
    return sorted(recorded)


def _delete(cloud: Cloud, kind: str, name: str, done: Removal) -> None:
    try:
        removal.patiently(lambda: removal.DELETE[kind](cloud, name))
    except (ClientError, BotoCoreError) as error:
        done.left[f"{kind} {name}"] = str(error)
    else:
        done.deleted.append(f"{kind} {name}")


def _numbered_things(
    cloud: Cloud, run: str, folder: Folder, before: Listing, done: Removal
) -> None:
    """Deletes thing_0 and so on, as far as this run made them: by the record, and where that was cut off."""
    record = folder.path / "things"
    if not record.exists():
        return
    try:
        cloud.fleet_cloud(run, "things", "clean", "--out", record, "--yes", statuses=(0, 1))
    except AcceptanceError as error:
        done.left["things"] = str(error)
    for number in range(2):
        name = f"thing_{number}"
        if name in before.get("thing", []):
            continue
        try:
            found = cloud.iot.describe_thing(thingName=name)
        except ClientError:
            continue
        if found.get("attributes") == _NUMBERED:
            _delete(cloud, "thing", name, done)


def _short(name: str) -> str:
    return name[:12] + "…" if len(name) == 64 else name  # noqa: PLR2004  a certificate's id
