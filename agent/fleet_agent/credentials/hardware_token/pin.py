"""The PIN of a hardware token. A wrong one is never tried twice, since tokens lock after a few.

What the PIN's file held is remembered in the state directory (salted and stretched, not as it is), and not given again.
"""

import contextlib
import json
import os
from pathlib import Path
from typing import Any

from fleet_agent import files, foreign
from fleet_agent.config.paths import resolve_path
from fleet_agent.credentials.hardware_token import cryptoki
from fleet_agent.credentials.hardware_token.cryptoki import CryptokiError, Session
from fleet_agent.credentials.model import HardwareToken
from fleet_agent.errors import AgentError, DeviceError
from fleet_agent.pasted import word

REFUSED = "pin-refused.json"
_MOST_BYTES = 4096
_UTF8_MARK, _UTF16_MARKS = b"\xef\xbb\xbf", (b"\xff\xfe", b"\xfe\xff")


def log_in(session: Session, token: HardwareToken) -> None:
    """Gives the hardware token its PIN, once; one that it refused before is not given again.

    Raises:
        DeviceError: The PIN is wrong, or cannot be read; or the hardware token is locked.
        CryptokiError: The hardware token failed otherwise.
    """
    pin = read(token)
    memory = Path(token.state_dir) / REFUSED
    if _was_refused(memory, pin):
        raise _wrong_pin(token, "was refused before, so it is not tried again")
    try:
        session.log_in(pin)
    except CryptokiError as error:
        if error.code == cryptoki.PIN_LOCKED:
            raise locked(token) from error
        if error.code not in cryptoki.PIN_WRONG:
            raise
        _remember(memory, pin)
        raise _wrong_pin(token, "is wrong") from error
    if files.is_there(memory):
        with contextlib.suppress(AgentError):
            files.remove(memory)


def locked(token: HardwareToken) -> DeviceError:
    """The error of a hardware token that takes no PIN any more."""
    return DeviceError(
        f"The hardware token {token.label!r} is locked: too many wrong PINs.",
        remedy=f"Unlock it with the security officer's PIN: pkcs11-tool --module {word(token.module)} --token-label "
        f"{word(token.label)} --login --login-type so --init-pin",
        code="pin-locked",
    )


def read(token: HardwareToken) -> bytes:
    """The PIN, from its file.

    Raises:
        DeviceError: There is none, or none that could be right: it is not tried.
    """
    path = resolve_path(token.pin_file, os.environ)
    try:
        data = files.read_given(path, _MOST_BYTES)
    except OSError as error:
        raise DeviceError(
            f"The PIN of the hardware token {token.label!r} cannot be read from {path}: {error.strerror}.",
            remedy=f"Write it there, readable only by the agent's user (chown _fleet-agent {word(path)}; chmod 400 "
            f"{word(path)}), or use LoadCredential= and credential:NAME.",
            code="pin-unreadable",
        ) from error
    # Some editors put an invisible mark there, which no hardware token takes for a part of the PIN.
    pin = data.removeprefix(_UTF8_MARK).strip()
    problem = None
    if not pin:
        problem = "is empty"
    elif data.startswith(_UTF16_MARKS) or b"\0" in pin:
        problem = "is UTF-16, or not text"
    elif len(pin.splitlines()) > 1:
        problem = "has more than one line"
    if problem:
        raise DeviceError(
            f"The PIN file {path} {problem}; no PIN was tried.",
            remedy=f"Write only the PIN into it, as plain text: (umask 077; printf %s PIN > {word(path)})",
            code="pin-unreadable",
        )
    return pin


# How it is remembered ------------------------------------------------------------------------------------------------


def _wrong_pin(token: HardwareToken, words: str) -> DeviceError:
    return DeviceError(
        f"The PIN of the hardware token {token.label!r} in {token.pin_file} {words}.",
        remedy=f"Write the right PIN into {token.pin_file}. Until that file changes no PIN is tried, "
        "so that the hardware token does not lock.",
        code="pin-wrong",
    )


def _stretch(pin: bytes, salt: bytes) -> str:
    from cryptography.hazmat.primitives.kdf.scrypt import Scrypt

    return Scrypt(salt=salt, length=32, n=2**14, r=8, p=1).derive(pin).hex()


def _remember(memory: Path, pin: bytes) -> None:
    salt = os.urandom(16)
    record = {"salt": salt.hex(), "pin": _stretch(pin, salt)}
    files.write(memory, json.dumps(record).encode() + b"\n", 0o600)


def _was_refused(memory: Path, pin: bytes) -> bool:
    data = files.read(memory)
    if data is None:
        return False
    try:
        record: Any = foreign.read(data)
        return bool(_stretch(pin, bytes.fromhex(record["salt"])) == record["pin"])
    except (ValueError, KeyError, TypeError):
        return False  # not written to the end
