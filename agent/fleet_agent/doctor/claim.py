"""The claim: present, readable, a matching pair, within its dates. A provisioned device can do without for a while."""

import os
from pathlib import Path

from fleet_agent import files
from fleet_agent.clock import text
from fleet_agent.config import pkcs11_uri
from fleet_agent.config.paths import resolve_path
from fleet_agent.config.provisioning import Claim
from fleet_agent.credentials import certificates
from fleet_agent.credentials.model import KeyPair, Secret
from fleet_agent.doctor.device import Device
from fleet_agent.doctor.finding import Findings, Level, Subject
from fleet_agent.errors import AgentError
from fleet_agent.identity.configured import hardware_key
from fleet_agent.pasted import word

_ABOUT = Subject("claim")
_SOON = 30 * 86400.0  # seconds
_NEW = "Install a new claim: fleet-cloud claim new"


def check(device: Device) -> Findings:
    """Checks the claim."""
    if device.settings is None:
        return
    claim = device.settings.claim
    is_provisioned = device.credential() is not None
    # A pair to adopt needs no claim either; ``identity`` checks it.
    is_needed = not is_provisioned and not device.settings.identity.pair
    level = Level.FAILED if is_needed else Level.WARNING
    if claim is None:
        yield from _none(device, is_needed=is_needed)
        return
    if claim.after_success == "delete":
        yield _ABOUT.note(
            "claim-deletes",
            f"After {claim.good_starts} good starts the claim is deleted (claim.after_success): from then on, a device "
            "whose certificate is revoked or expires cannot recover by itself.",
            device.config,
            "If it should recover: after_success: keep (docs/how-to/remove-the-claim.md)",
        )
    for reference in (claim.certificate, claim.private_key):
        if device.is_elsewhere(reference):
            yield _ABOUT.note(
                "claim-elsewhere",
                f"{reference} comes from the unit, so it cannot be checked from a shell.",
                reference,
            )
            return
    try:
        pair = read(claim, device)
        if device.pin_is_elsewhere(pair.private_key):
            title = f"The unit passes the PIN of {pair.private_key_file}, so the key cannot be checked from a shell."
            yield _ABOUT.note("claim-elsewhere", title, claim.private_key)
            return
    except OSError as error:
        yield from _missing(claim, error, level, is_provisioned=is_provisioned)
        return
    except AgentError as error:
        yield from _ABOUT.error(error, claim.certificate, level)
        return
    yield from judge(pair, device.clock.wall(), level)


def read(claim: Claim, device: Device) -> KeyPair:
    """The claim's two files.

    Raises:
        OSError: One cannot be read.
        DeviceError: A systemd credential was not passed, or there is no such hardware token.
    """
    certificate = resolve_path(claim.certificate, device.environment)
    if device.settings is None or not pkcs11_uri.is_uri(claim.private_key):
        return pair_of(certificate, resolve_path(claim.private_key, device.environment))
    key = hardware_key(claim.private_key, device.settings)
    return KeyPair(
        certificate=_text(certificate),
        private_key=key,
        certificate_file=str(certificate),
        private_key_file=str(key),
    )


def pair_of(certificate: Path, private_key: Path) -> KeyPair:
    """A certificate and its key from two files.

    Raises:
        OSError: One of them cannot be read.
    """
    return KeyPair(
        certificate=_text(certificate),
        private_key=Secret(_text(private_key)),
        certificate_file=str(certificate),
        private_key_file=str(private_key),
    )


def _text(path: Path) -> str:
    try:
        return files.read_given(path).decode("ascii", errors="replace")
    except OSError as error:
        error.filename = str(path)  # the file, not a folder on the way to it
        raise


def judge(pair: KeyPair, now: float, level: Level) -> Findings:
    """Checks that certificate and key match and are within their dates; a failure is reported with ``level``."""
    try:
        certificates.check_pair(pair)
        dates = certificates.validity(pair.certificate, pair.certificate_file)
    except AgentError as error:
        yield from _ABOUT.error(error, pair.certificate_file, level)
        return
    where = pair.certificate_file
    if now > dates.not_after:
        title = f"The claim expired on {text(dates.not_after)}."
        found = _ABOUT.failed if level is Level.FAILED else _ABOUT.warning
        yield found("claim-expired", title, where, _NEW)
    elif now < dates.not_before:
        title = (
            f"The claim is not valid before {text(dates.not_before)}; the clock shows {text(now)}."
        )
        yield _ABOUT.failed(
            "claim-not-yet-valid", title, where, "Set the clock: timedatectl set-ntp true"
        )
    elif now > dates.not_after - _SOON:
        title = f"The claim expires on {text(dates.not_after)}."
        yield _ABOUT.warning("claim-expires", title, where, _NEW)
    else:
        yield _ABOUT.ok(
            f"The claim's certificate and key match; valid until {text(dates.not_after)}.", where
        )


def _none(device: Device, *, is_needed: bool) -> Findings:
    if not is_needed:
        yield _ABOUT.ok("No claim is configured, and none is needed.")
    else:
        yield _ABOUT.failed(
            "claim-missing",
            "No claim is configured, and this device has no identity yet.",
            device.config,
            "Add the section `claim` (docs/reference/configuration.md), or pass --cert and --key.",
        )


def _missing(claim: Claim, error: OSError, level: Level, *, is_provisioned: bool) -> Findings:
    if is_provisioned and isinstance(error, FileNotFoundError):
        yield _ABOUT.ok(
            "The claim was removed from this device, which has an identity. If AWS IoT refuses that for good, "
            "the device cannot request a new one.",
            claim.certificate,
        )
        return
    path = error.filename or claim.certificate
    is_missing = isinstance(error, FileNotFoundError)
    remedy = "Name the file itself."
    if is_missing:
        remedy = (
            f"Install a claim there: fleet-cloud claim new --out {word(os.path.dirname(path))}"  # noqa: PTH120 - a text
        )
    elif isinstance(error, PermissionError):
        remedy = f"chgrp _fleet-agent {word(path)}; chmod 640 {word(path)}   (sudo fleet-agent doctor --fix)"
    found = _ABOUT.failed if level is Level.FAILED else _ABOUT.warning
    yield found(
        "claim-missing" if is_missing else "claim-unreadable",
        f"{path} cannot be read: {error.strerror}.",
        path,
        remedy,
    )
