"""The store, the hardware tokens and the claim that the settings name."""

import contextlib
import dataclasses
import os
from collections.abc import Iterator
from pathlib import Path
from typing import TypeVar

from fleet_agent.clock import SystemClock
from fleet_agent.config import pkcs11_uri
from fleet_agent.config.paths import resolve_path
from fleet_agent.config.provisioning import Claim, Key
from fleet_agent.config.settings import Settings
from fleet_agent.config.shape import WrongValueError
from fleet_agent.credentials.folders import CURRENT
from fleet_agent.credentials.model import Credential, HardwareKey, HardwareToken, KeyPair
from fleet_agent.credentials.pair import read_pair
from fleet_agent.credentials.store import Store
from fleet_agent.errors import DeviceError

T = TypeVar("T")


def open_store(settings: Settings) -> Store:
    """The credential store of the settings' state directory."""
    return Store(Path(settings.state_dir), SystemClock(), *hardware_tokens(settings))


def require_section(section: T | None, name: str) -> T:
    """Returns a section of the configuration that getting an identity takes.

    Raises:
        DeviceError: It is missing.
    """
    if section is None:
        raise DeviceError(
            f"This device needs an identity, but the configuration has no section `{name}`.",
            remedy="Add it (docs/reference/configuration.md), or pass --cert, --key and --template-name. If it has a "
            "certificate already: fleet-agent adopt --cert FILE --key FILE",
            code="configuration",
        )
    return section


def hardware_tokens(settings: Settings) -> Iterator[HardwareToken]:
    """Every hardware token that the configuration names; the device's own last, which wins."""
    claims = (place.claim for place in settings.move.allowed.values())
    for section in (*claims, settings.claim, settings.identity):
        key = section.private_key if section else None
        if key is not None and pkcs11_uri.is_uri(key):
            with contextlib.suppress(DeviceError):  # reported when its key is needed
                yield hardware_key(key, settings).token
    if own := hardware_token(settings):
        yield own


def hardware_token(settings: Settings) -> HardwareToken | None:
    """The hardware token of the device's own key."""
    key = settings.provisioning.key if settings.provisioning else Key()
    if key.store != "pkcs11" or not (key.module and key.token and key.pin_file):
        return None
    return HardwareToken(
        module=key.module,
        label=key.token,
        pin_file=key.pin_file,
        state_dir=settings.state_dir,
    )


def hardware_key(uri: str, settings: Settings) -> HardwareKey:
    """The key that a PKCS#11 URI names; what it leaves out is as for the device's own key.

    Raises:
        DeviceError: It is no such URI, or module or PIN file are named nowhere.
    """
    try:
        named = pkcs11_uri.read(uri)
    except WrongValueError as error:
        raise DeviceError(
            f"The PKCS#11 URI {error.problem}.",
            remedy=f"{error.suggestion.capitalize()}.",
            code="hardware-token-uri",
        ) from None
    own = hardware_token(settings)
    module = named.get("module-path") or (own.module if own else None)
    pin_file = named.get("pin-source") or (own.pin_file if own else None)
    if not module or not pin_file:
        raise DeviceError(
            f"The PKCS#11 URI of the key {named['object']!r} has no {'PIN file' if module else 'module'}.",
            remedy="Append ?module-path=/usr/lib/….so&pin-source=/path/of/pin to it.",
            code="hardware-token-uri",
        )
    token = HardwareToken(
        module=module, label=named["token"], pin_file=pin_file, state_dir=settings.state_dir
    )
    return HardwareKey(token=token, label=named["object"])


def read_claim(claim: Claim, settings: Settings) -> KeyPair:
    """The claim's certificate and key.

    Raises:
        DeviceError: A file of them cannot be read.
    """
    certificate = resolve_path(claim.certificate, os.environ)
    if pkcs11_uri.is_uri(claim.private_key):
        return read_pair(certificate, hardware_key(claim.private_key, settings))
    return read_pair(certificate, resolve_path(claim.private_key, os.environ))


def in_service(store: Store) -> tuple[Credential, KeyPair]:
    """The current credential, and its files as they are now.

    Raises:
        AgentError: There is none, or a file of it cannot be read.
    """
    credential = store.current()
    if credential is None:
        raise DeviceError(
            "This device has no identity yet.",
            remedy="fleet-agent provision",
            code="not-provisioned",
        )
    return credential, store.key_pair(credential.generation)


def with_stable_paths(store: Store, credential: Credential) -> Credential:
    """The current credential with paths that stay the same after a rotation: through the link ``current``."""
    if not credential.is_proven:
        return credential
    current = store.folder(credential.generation).with_name(CURRENT)
    files = {
        field: str(current / Path(path).name)
        for field, path in (
            ("certificate_file", credential.certificate_file),
            ("private_key_file", credential.private_key_file),
        )
        if path is not None and not pkcs11_uri.is_uri(path)
    }
    return dataclasses.replace(credential, **files)  # type: ignore[arg-type]
