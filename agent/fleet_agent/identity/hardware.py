"""Which hardware tokens the configuration names, and which key in them a PKCS#11 URI means."""

import contextlib
from collections.abc import Iterator

from fleet_agent.config import token_uri
from fleet_agent.config.settings import Key, Settings
from fleet_agent.config.shape import WrongValueError
from fleet_agent.credentials.model import HardwareKey, HardwareToken
from fleet_agent.errors import DeviceError


def hardware_tokens(settings: Settings) -> Iterator[HardwareToken]:
    """Every hardware token that the configuration names; the device's own last, which wins."""
    for section in (settings.claim, settings.identity):
        if section and token_uri.is_one(section.private_key):
            with contextlib.suppress(DeviceError):  # told when its key is needed
                yield hardware_key(section.private_key, settings).token
    if own := own_token(settings):
        yield own


def own_token(settings: Settings) -> HardwareToken | None:
    """The token of the device's own key."""
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
        named = token_uri.read(uri)
    except WrongValueError as error:
        raise DeviceError(
            f"The PKCS#11 URI {error.problem}.",
            remedy=f"{error.suggestion.capitalize()}.",
            code="token-uri",
        ) from None
    own = own_token(settings)
    module = named.get("module-path") or (own.module if own else None)
    pin_file = named.get("pin-source") or (own.pin_file if own else None)
    if not module or not pin_file:
        raise DeviceError(
            f"The PKCS#11 URI of the key {named['object']!r} names no {'PIN file' if module else 'module'}.",
            remedy="Add ?module-path=/usr/lib/….so&pin-source=/path/of/the/pin to it.",
            code="token-uri",
        )
    token = HardwareToken(
        module=module, label=named["token"], pin_file=pin_file, state_dir=settings.state_dir
    )
    return HardwareKey(token=token, label=named["object"])
