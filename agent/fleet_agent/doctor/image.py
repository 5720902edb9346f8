"""A mounted image: it must contain nothing that has to differ between devices, and everything that they need."""

import dataclasses
from collections.abc import Callable
from pathlib import Path

from fleet_agent.clock import Clock
from fleet_agent.config.paths import CREDENTIAL
from fleet_agent.config.provisioning import Claim
from fleet_agent.config.settings import STATE_DIR, Settings
from fleet_agent.doctor import claim, rights, unit
from fleet_agent.doctor.device import secrets
from fleet_agent.doctor.finding import Finding, Findings, Level, Subject, guarded
from fleet_agent.errors import AgentError, UsageError
from fleet_agent.identity.image import HOME
from fleet_agent.identity.reset import image_hints
from fleet_agent.pasted import word
from fleet_agent.statedir.contents import CONTENTS

_ABOUT = Subject("image")

# What a first start leaves there: pattern → code, and what is wrong with it.
_BAKED_IN = {
    entry.pattern: (entry.image_code, entry.image_words)
    for entry in CONTENTS
    if entry.image_code is not None
}
_RANDOM_SEED = "random-seed"


def check(root: Path, load: Callable[[Path], Settings], clock: Clock) -> Findings:
    """Checks an image.

    Args:
        root: Where its root partition is mounted.
        load: Reads its configuration.
        clock: For the claim's dates.

    Raises:
        UsageError: That is not a root file system.
    """
    if not (root / "etc").is_dir():
        raise UsageError(
            f"{root} is not a root file system: it has no etc.",
            remedy="Mount the image's root partition (losetup -P, mount) and pass the mount point with --image.",
            code="root-missing",
        )
    settings = None
    config = root / HOME / "config.yaml"
    try:
        settings = load(config) if config.exists() else None
    except AgentError as error:
        yield from _ABOUT.error(error, config)
    else:
        yield from _config(config, settings)
    yield from guarded(_ABOUT, root, lambda: _baked_in(root, settings))
    yield from guarded(_ABOUT, root, lambda: _claim(root, settings, clock))
    yield from guarded(_ABOUT, root, lambda: _package(root))


def _config(config: Path, settings: Settings | None) -> Findings:
    if settings is None:
        yield _ABOUT.failed(
            "image-no-config",
            f"{config} is missing.",
            config,
            f"fleet-agent config install --root {word(config.parents[2])} --config image/config.yaml",
        )
    else:
        yield _ABOUT.ok(f"Its configuration has the endpoint {settings.endpoint}.", config)


def _baked_in(root: Path, settings: Settings | None) -> Findings:
    state_dir = _inside(root, settings.state_dir if settings else STATE_DIR)
    found = []
    for pattern, (code, reason) in _BAKED_IN.items():
        paths = sorted(state_dir.glob(pattern))
        if paths:
            reset = f"fleet-agent reset --for-image --yes --state-dir {word(state_dir)}"
            found.append(
                _ABOUT.failed(
                    code, f"{paths[0]} is baked in: {reason}.", paths[0], f"{reset}   (or rm it)"
                )
            )
    for hint in image_hints(root):
        path = hint.rpartition(" ")[2]
        code = "image-random-seed" if path.endswith(_RANDOM_SEED) else "image-machine-id"
        reason = (
            "devices would start with the same randomness"
            if code == "image-random-seed"
            else "every device would have the same machine id"
        )
        found.append(_ABOUT.failed(code, f"{path} is baked in: {reason}.", path, hint))
    yield from found
    if not found:
        yield _ABOUT.ok("Nothing that belongs to a single device is baked in.", state_dir)


def _inside(root: Path, path: str) -> Path:
    """Returns where a path of the device is in the mounted image; relative ones were resolved before."""
    found = Path(path)
    return found if found.is_relative_to(root) else root / found.relative_to("/")


def _claim(root: Path, settings: Settings | None, clock: Clock) -> Findings:
    if settings is None:
        return
    if settings.claim is None and settings.identity.pair:
        yield _ABOUT.ok("It needs no claim: each device brings its own certificate.")
        return
    if settings.claim is None:
        yield _ABOUT.failed(
            "image-no-claim",
            "Its configuration names no claim, so no device made from it can get an identity.",
            root / HOME,
            f"fleet-agent config install --root {word(root)} --cert FILE --key FILE",
        )
        return
    if not settings.claim.private_key.startswith("/"):
        yield _in_unit(root, settings.claim)
        return
    certificate, key = (
        _inside(root, name) for name in (settings.claim.certificate, settings.claim.private_key)
    )
    for path in (certificate, key):
        if not path.exists():
            yield _ABOUT.failed(
                "image-claim-missing",
                f"{path}, which the configuration names, is missing.",
                path,
                "fleet-cloud claim new --out DIR, then "
                f"fleet-agent config install --root {word(root)} --cert … --key …",
            )
            return
    secret = next(secrets(settings))  # the first is the claim's key
    for found in rights.secret_mode(key, secret, None):
        yield dataclasses.replace(found, check="image")
    yield from claim.judge(claim.pair_of(certificate, key), clock.wall(), Level.FAILED)


def _in_unit(root: Path, wanted: Claim) -> Finding:
    name = wanted.private_key.removeprefix(CREDENTIAL)
    if not wanted.private_key.startswith(CREDENTIAL) or unit.loads(root, name):
        return _ABOUT.ok(f"The claim's key comes from {wanted.private_key}.")
    return _ABOUT.failed(
        "credential-not-loaded",
        f"The configuration names {wanted.private_key}, but no LoadCredential= of the image's unit passes it.",
        root / f"etc/systemd/system/{unit.NAME}.d",
        f"In a drop-in there, under [Service]: LoadCredential={name}:/etc/credstore/{name}",
    )


def _package(root: Path) -> Findings:
    if not (root / "usr/bin/fleet-agent").exists():
        yield _ABOUT.warning(
            "image-no-agent",
            "The image has no /usr/bin/fleet-agent.",
            root / "usr/bin/fleet-agent",
            "Install the package into the image: docs/how-to/bake-an-image.md",
        )
