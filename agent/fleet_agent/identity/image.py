"""``fleet-agent config install``: configuration and claim into the root file system of an image.

The configuration's own folder becomes ``/etc/fleet-agent``: the file and its drop-ins as they are, and what they name
below that folder. Flags go into a drop-in of their own, so that no file of the user is rewritten. Everything is
planned and checked first, then written.
"""

import dataclasses
import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from fleet_agent import files, pasted
from fleet_agent.config.paths import configuration_files
from fleet_agent.config.render import render
from fleet_agent.config.settings import Settings
from fleet_agent.config.sources import FirstOf, FromFile, Source
from fleet_agent.credentials import certificates, keys
from fleet_agent.credentials.model import KeyPair, Secret
from fleet_agent.errors import DeviceError, StateDirectoryError, UsageError
from fleet_agent.files.pinned import pinned
from fleet_agent.record import record
from fleet_agent.statedir.owner import GROUP

HOME = Path("etc/fleet-agent")
FLAGS_FILE = Path("config.d/99-installed.yaml")

_PUBLIC, _PRIVATE = 0o644, 0o640
_NO_GROUP = (1 << 32) - 1  # what chown(2) takes for "as it is"
_REFERENCES = ("credential:", "pkcs11:")
# setting → where a file from anywhere else is put
_NAMED = {
    "claim.certificate": Path("claim/claim.certificate.pem.crt"),
    "claim.private_key": Path("claim/claim.private.pem.key"),
    "ca_file": Path("ca.pem"),
}


@dataclasses.dataclass(frozen=True)
class Placed:
    """One file for the image, by its path below ``/etc/fleet-agent``."""

    target: Path
    data: bytes = dataclasses.field(repr=False)
    mode: int
    setting: str = ""  # the one that names it


@record
class Installed:
    """The files that were installed.

    Args:
        files: As the device will see them.
        group_id: Of ``_fleet-agent`` in the image; None when the image has none yet.
        warnings: What is missing in the image, or should not be there.
    """

    files: tuple[str, ...]
    group_id: int | None
    warnings: tuple[str, ...]


def install(
    settings: Settings,
    root: Path,
    *,
    config: Path | None,
    flags: Mapping[str, Any],
    force: bool = False,
) -> Installed:
    """Puts configuration and claim into a root file system.

    Args:
        settings: What file and flags come to together.
        root: Where the image is mounted; ``/`` for this machine.
        config: The configuration file, None when flags say everything.
        flags: Dotted key → value, those that were given.
        force: Replace a configuration with other contents.

    Raises:
        AgentError: That is no root, a file is missing, a key is not its certificate's, or it cannot be written.
    """
    home = _home(root)
    folder = config.parent.absolute() if config else None
    files_here, moved = _named_files(settings, root, folder, flags)
    placed = [*_configuration(config, {**flags, **moved}), *files_here]
    for item in placed:
        _stay_inside(root, (home / item.target).parent)
    _check_claim(settings, files_here)
    if not force:
        _refuse_other(home, placed)
    group_id = _group_id(root)
    try:
        _write(home, placed, group_id)
    except StateDirectoryError as error:
        mount = pasted.command("findmnt", "-T", root)
        error.remedy = (
            f"Check it, the free space (df -h) and inodes (df -i), and how it is mounted: {mount}"
        )
        raise
    return Installed(
        files=tuple(f"/{HOME / item.target}" for item in placed),
        group_id=group_id,
        warnings=tuple(_warnings(root, group_id)),
    )


def _home(root: Path) -> Path:
    if not (root / "etc").is_dir():
        raise UsageError(
            f"{root} is not a root file system: it has no etc.",
            remedy="Mount the image's root partition (losetup -P, mount) and pass the mount point with --root.",
            code="root-missing",
        )
    return root / HOME


def _stay_inside(root: Path, folder: Path) -> None:
    """Refuses a link in the image that means this machine's own files."""
    if not folder.resolve().is_relative_to(root.resolve()):
        raise DeviceError(
            f"{folder} is a link that leads out of the image, to {folder.resolve()}.",
            remedy="Replace the link in the image by a folder, or bind-mount its target into --root first.",
            code="link-out-of-root",
        )


def _configuration(config: Path | None, flags: Mapping[str, Any]) -> Iterator[Placed]:
    """The file and its drop-ins as they are, and one for the flags; the flags alone are the file."""
    nested: dict[str, Any] = {}
    for dotted, value in flags.items():
        *sections, key = dotted.split(".")
        within = nested
        for section in sections:
            within = within.setdefault(section, {})
        within[key] = value
    text = render(nested, ["Written by fleet-agent config install, from its flags."])
    if config is None:
        yield Placed(Path("config.yaml"), text.encode(), _PRIVATE)
        return
    for file in configuration_files(config):
        target = Path("config.yaml") if file == config else Path("config.d") / file.name
        mode = _PRIVATE if file == config else _PUBLIC
        if target != FLAGS_FILE or not nested:
            yield Placed(target, _read(file, "--config"), mode)
    if nested:
        yield Placed(FLAGS_FILE, text.encode(), _PUBLIC)


def _named_files(
    settings: Settings, root: Path, folder: Path | None, flags: Mapping[str, Any]
) -> tuple[list[Placed], dict[str, str]]:
    """The files that the settings name and the image lacks, and the settings that must name another place for them."""
    placed, moved = [], {}
    for key, path, mode in _paths(settings):
        if path.startswith(_REFERENCES):
            continue
        # `..` in it means a place elsewhere, not one that is below the folder by its letters.
        source = Path(os.path.normpath(path))
        if folder and source.is_relative_to(folder) and folder != root / HOME:
            data = _checked(key, _read(source, key), source)
            placed.append(Placed(source.relative_to(folder), data, mode, key))
            if key in flags:
                moved[key] = str(placed[-1].target)
        elif key in _NAMED and not (root / source.relative_to("/")).exists():
            data = _checked(key, _read(source, key, root), source)
            placed.append(Placed(_NAMED[key], data, mode, key))
            moved[key] = str(_NAMED[key])
    return placed, moved


def _paths(settings: Settings) -> Iterator[tuple[str, str, int]]:
    """Every file that the settings name: key, path, and the mode it should have."""
    if settings.ca_file:
        yield "ca_file", settings.ca_file, _PUBLIC
    if settings.proxy_credentials:
        yield "proxy_credentials", settings.proxy_credentials, _PRIVATE
    if settings.provisioning and settings.provisioning.key.pin_file:
        yield "provisioning.key.pin_file", settings.provisioning.key.pin_file, _PRIVATE
    if settings.claim:
        yield "claim.certificate", settings.claim.certificate, _PRIVATE
        yield "claim.private_key", settings.claim.private_key, _PRIVATE
    if settings.provisioning:
        for name, source in settings.provisioning.parameters.items():
            for path in _source_files(source):
                yield f"provisioning.parameters.{name}", path, _PUBLIC


def _source_files(source: Source) -> Iterator[str]:
    if isinstance(source, FromFile):
        yield source.file
    elif isinstance(source, FirstOf):
        for item in source.first_of:
            yield from _source_files(item)


def _checked(key: str, data: bytes, path: Path) -> bytes:
    """What goes into the image of a file, which is what its setting means and nothing that happens to lie there.

    Raises:
        DeviceError: It is something else.
    """
    text = data.decode(errors="replace")
    if key == "ca_file":
        return certificates.read_ca(data, str(path)).encode()
    if key == "claim.certificate":
        certificates.public_key_of_certificate(text, str(path))
    elif key == "claim.private_key":
        keys.public_key_of_key(Secret(text), str(path))
    return data


def _read(path: Path, key: str, root: Path | None = None) -> bytes:
    try:
        return files.read_given(path)
    except OSError as error:
        where = f" and not in {root} either" if root and root != Path("/") else ""
        raise DeviceError(
            f"{key} names {path}, which cannot be read here ({error.strerror}){where}.",
            remedy="Pass the claim with --cert and --key, or put it beside the configuration "
            "(fleet-cloud claim new --out DIR/claim).",
            code="file-missing",
        ) from error


def _check_claim(settings: Settings, placed: list[Placed]) -> None:
    texts = {item.setting: item.data.decode(errors="replace") for item in placed}
    certificate, private_key = texts.get("claim.certificate"), texts.get("claim.private_key")
    # Not both of them are put there now.
    if settings.claim is None or certificate is None or private_key is None:
        return
    certificates.check_pair(
        KeyPair(
            certificate=certificate,
            private_key=Secret(private_key),
            certificate_file=settings.claim.certificate,
            private_key_file=settings.claim.private_key,
        )
    )


def _refuse_other(home: Path, placed: list[Placed]) -> None:
    for item in placed:
        target = home / item.target
        try:
            found = files.read(target)
        except StateDirectoryError as error:
            error.remedy = f"See what is there, then: {files.move_aside(target)}"
            raise
        if found not in (None, item.data):
            raise StateDirectoryError(
                f"{target} already exists, with other contents.",
                remedy="Compare the two, then replace it with --force.",
                code="file-exists",
            )


def _group_id(root: Path) -> int | None:
    try:
        groups = files.read_given(root / "etc/group").decode(errors="replace")
    except OSError:
        return None
    found = re.search(rf"^{GROUP}:[^:\n]*:([0-9]{{1,10}}):", groups, re.MULTILINE | re.ASCII)
    return int(found[1]) if found and int(found[1]) < _NO_GROUP else None


def _write(home: Path, placed: list[Placed], group_id: int | None) -> None:
    """Writes; as root with root's ownership and the image's own group, which tmpfiles.d gives at boot otherwise."""
    files.make_folder(home, 0o755)
    for item in placed:
        target = home / item.target
        is_private = item.mode == _PRIVATE
        if item.target.parent != Path():
            files.make_folder(target.parent, 0o750 if is_private else 0o755)
        files.write(target, item.data, item.mode)
        if os.geteuid() == 0:
            gid = group_id if is_private and group_id is not None else 0
            _give_to_group(target, gid)
            if is_private and target.parent != home:
                _give_to_group(target.parent, gid)


def _give_to_group(path: Path, gid: int) -> None:
    with pinned(path) as safe:
        os.chown(safe, 0, gid, follow_symlinks=False)


def _warnings(root: Path, group_id: int | None) -> Iterator[str]:
    if not (root / "usr/bin/fleet-agent").exists():
        yield "it has no /usr/bin/fleet-agent yet: install the package"
    elif group_id is None and not (root / "usr/lib/tmpfiles.d/fleet-agent.conf").exists():
        yield f"it has neither a group {GROUP} nor a tmpfiles.d/fleet-agent.conf that sets the group at boot"
    if any((root / "var/lib/fleet-agent/credentials").glob("*")):
        yield "it contains an identity, which every device made from it would share: fleet-agent doctor --image"
