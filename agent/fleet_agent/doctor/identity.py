"""The identity: complete, certificate and key match, within its dates, on the hardware it was proven on."""

from fleet_agent.clock import text
from fleet_agent.config import pkcs11_uri
from fleet_agent.config.paths import resolve_path
from fleet_agent.config.rotation import Rotation
from fleet_agent.config.settings import Settings
from fleet_agent.credentials import certificates
from fleet_agent.credentials.model import Credential, Event
from fleet_agent.credentials.pair import read_pair
from fleet_agent.credentials.validity import Validity
from fleet_agent.doctor.device import Device
from fleet_agent.doctor.finding import Findings, Subject, guarded
from fleet_agent.identity import clone, due, recovery_problem, recovery_state
from fleet_agent.identity.configured import hardware_key
from fleet_agent.identity.in_use import in_use

_ABOUT = Subject("identity")
_LEFT_BEHIND = (Event.UNRESOLVED.value, Event.DROPPED.value)
_MANY = 5  # tries


def check(device: Device) -> Findings:
    """Checks the identity of this device."""
    where = device.state_dir / "credentials"
    yield from guarded(_ABOUT, where, lambda: _current(device))
    yield from guarded(_ABOUT, where, lambda: _pending(device))
    yield from guarded(_ABOUT, device.state_dir / "ledger.jsonl", lambda: _ledger(device))


def _current(device: Device) -> Findings:
    store = device.store()
    credential = in_use(store)
    if credential is None and device.settings is not None and device.settings.identity.pair:
        yield from _given(device, device.settings, *device.settings.identity.pair)
        return
    if credential is None:
        yield _ABOUT.warning(
            "not-provisioned",
            "This device has no identity yet.",
            device.state_dir,
            "fleet-agent provision, or systemctl start fleet-agent, which provisions first",
        )
        return
    pair = store.key_pair(credential.generation)
    if device.pin_is_elsewhere(pair.private_key):
        yield _ABOUT.note(
            "key-elsewhere",
            f"The key {pair.private_key_file} is in a hardware token whose PIN the unit passes: "
            "it cannot be checked from a shell.",
            pair.private_key_file,
        )
    else:
        certificates.check_pair(pair)
    name = credential.thing_name or "(no thing)"
    yield _ABOUT.ok(
        f"{name}: certificate {credential.certificate_id[:8]}…, key {pair.private_key_file}.",
        pair.certificate_file,
    )
    dates = certificates.validity(pair.certificate, pair.certificate_file)
    yield from _dates(device, dates, pair.certificate_file)
    yield from _endpoint(device, credential)
    yield from _ladder(device, credential, is_expired=device.clock.wall() > dates.not_after)
    if problem := clone.compare(device.state_dir, credential, device.root):
        yield _ABOUT.failed(
            problem.kind.code, problem.title, device.state_dir / "fingerprint.json", problem.remedy
        )


def _given(device: Device, settings: Settings, certificate: str, private_key: str) -> Findings:
    """Checks the pair that the first start adopts, as that start does."""
    if device.is_elsewhere(certificate) or device.is_elsewhere(private_key):
        yield _ABOUT.note(
            "identity-elsewhere",
            f"{certificate} and {private_key} come from the unit, so they cannot be checked from a shell.",
            device.config,
        )
        return
    is_token = pkcs11_uri.is_uri(private_key)
    key = (
        hardware_key(private_key, settings)
        if is_token
        else resolve_path(private_key, device.environment)
    )
    pair = read_pair(resolve_path(certificate, device.environment), key, "device")
    if device.pin_is_elsewhere(pair.private_key):
        title = f"The unit passes the PIN of {pair.private_key_file}, so the key cannot be checked from a shell."
        yield _ABOUT.note("identity-elsewhere", title, private_key)
        return
    leaf = certificates.checked_leaf(pair)
    yield _ABOUT.note(
        "not-adopted",
        f"Its certificate {leaf.certificate_id[:8]}… is not adopted yet.",
        certificate,
        "systemctl start fleet-agent, or fleet-agent adopt",
    )
    yield from _dates(device, leaf.dates, certificate)


def _dates(device: Device, dates: Validity, where: str) -> Findings:
    now = device.clock.wall()
    rotation = device.settings.rotation if device.settings else Rotation()
    if now < dates.not_before:
        yield _ABOUT.failed(
            "certificate-not-yet-valid",
            f"The certificate is not valid before {text(dates.not_before)}; the clock shows {text(now)}.",
            where,
            "Set the clock: timedatectl set-ntp true",
        )
    elif now > dates.not_after:
        yield _ABOUT.failed(
            "certificate-expired",
            f"The certificate expired on {text(dates.not_after)}.",
            where,
            "With a claim, a running agent requests a new one by itself, for the same key: systemctl start "
            "fleet-agent. If there is no claim, install one (fleet-cloud claim new).",
        )
    elif now > dates.not_after - due.margin(rotation, dates.life):
        yield _ABOUT.warning(
            "certificate-expires",
            f"The certificate expires on {text(dates.not_after)}.",
            where,
            "fleet-agent rotate",
        )
    else:
        yield _ABOUT.ok(f"Its certificate is valid until {text(dates.not_after)}.", where)


def _ladder(device: Device, credential: Credential, *, is_expired: bool) -> Findings:
    known = recovery_state.read(device.state_dir)
    if device.settings is not None and known.rung.is_dead:
        problem = recovery_problem.describe(
            known, credential, device.settings, is_expired=is_expired
        )
        where = device.state_dir / recovery_state.FILE
        yield _ABOUT.failed(problem.kind.code, problem.title, where, problem.remedy)


def _endpoint(device: Device, credential: Credential) -> Findings:
    if device.settings and device.settings.endpoint != credential.endpoint:
        yield _ABOUT.warning(
            "endpoint-changed",
            f"The identity was created at {credential.endpoint}; the configuration says {device.settings.endpoint}.",
            device.config,
            "If that is another account or region, provision again: fleet-agent provision --force",
        )


def _pending(device: Device) -> Findings:
    found = device.store().pending()
    # An attempt with an existing key is part of a recovery, which reports its own problem.
    if found is None or found.attempt.key_of is not None:
        return
    tries, wait = found.attempt.tries, found.attempt.not_before - device.clock.wall()
    later = f"; the next try is not before {text(found.attempt.not_before)}" if wait > 0 else ""
    times = "once" if tries == 1 else f"{tries} times"
    yield _ABOUT.warning(
        "attempt-stuck" if tries >= _MANY else "attempt-under-way",
        f"Provisioning was started but not finished (generation {found.number}, tried {times}{later}).",
        device.store().folder(found.number),
        "To see why: fleet-agent doctor --online. To continue: fleet-agent provision; "
        "to start over: fleet-agent provision --restart",
    )


def _ledger(device: Device) -> Findings:
    credential = device.credential()
    in_use = credential.certificate_id if credential else None
    for certificate_id, event in device.store().ledger.latest().items():
        if event in _LEFT_BEHIND and certificate_id != in_use:
            yield _ABOUT.warning(
                "certificate-left-behind",
                f"The certificate {certificate_id} may still be active in the cloud, but this device does not use it.",
                device.state_dir / "ledger.jsonl",
                f"fleet-cloud devices prune --ledger ledger.jsonl, or aws iot update-certificate --new-status INACTIVE "
                f"--certificate-id {certificate_id}",
            )
