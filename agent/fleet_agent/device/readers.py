"""Facts that the kernel and the administrator keep in files: DMI, device tree, text files."""

from collections.abc import Callable, Mapping
from pathlib import Path

from fleet_agent.config.paths import CREDENTIAL, resolve_path
from fleet_agent.config.reading import (
    DeniedError,
    MissingError,
    UnreadableError,
    decode_utf8,
    read_bytes,
)
from fleet_agent.device.finding import Finding, NothingFoundError
from fleet_agent.errors import ConfigurationError
from fleet_agent.files.reserved import Reserved

DMI = "sys/class/dmi/id"
DEVICE_TREE = "proc/device-tree"

# A value has at most 4096 characters; what is bigger is another kind of file.
MAX_BYTES = 16 * 1024


def text_of(path: Path, judge: Callable[[int], None] = lambda _: None) -> str:
    """Returns a small text file's text, without surrounding white space.

    Raises:
        UnreadableError: It cannot be read, or is no UTF-8.
    """
    return decode_utf8(read_bytes(path, MAX_BYTES, judge)).strip()


def text_file(
    reference: str, root: Path, environment: Mapping[str, str], reserved: Reserved
) -> Finding:
    """Reads a file, or a credential that the service manager passed; none of the agent's own."""
    is_credential = reference.startswith(CREDENTIAL)
    source = reference if is_credential else f"file:{reference}"
    try:
        path = resolve_path(reference, environment)
        place = path if is_credential else root / reference.lstrip("/")
        return Finding(text_of(place, reserved.refuse), source)
    except ConfigurationError as error:
        raise NothingFoundError(error.title) from error
    except UnreadableError as error:
        raise NothingFoundError(f"{source} {error}") from error


def environment_variable(name: str, environment: Mapping[str, str]) -> Finding:
    """Reads one of the agent's own environment variables."""
    if name not in environment:
        raise NothingFoundError(f"env:{name} is not set")
    return Finding(environment[name].strip(), f"env:{name}")


def dmi(field: str, root: Path) -> Finding:
    """Reads a field of the firmware's DMI table; serial numbers there are for root alone."""
    source = f"dmi:{field}"
    folder = root / DMI
    try:
        return Finding(text_of(folder / field), source)
    except MissingError as error:
        raise NothingFoundError(f"{source} {_missing(folder, field)}") from error
    except DeniedError as error:
        raise NothingFoundError(
            f"{source} can be read only by root: pass it to the service with"
            f" LoadCredential=dmi-{field}:/{DMI}/{field} in a drop-in,"
            f" and write {{file: credential:dmi-{field}}}"
        ) from error
    except UnreadableError as error:
        raise NothingFoundError(f"{source} {error}") from error


def _missing(folder: Path, name: str) -> str:
    try:
        names = sorted(entry.name for entry in folder.iterdir() if entry.is_file())
    except OSError:
        return f"does not exist: this device has no /{DMI}"
    import difflib

    close = difflib.get_close_matches(name, names, 1)
    return "does not exist" + (f"; did you mean {close[0]}?" if close else "")


def device_tree(name: str, root: Path) -> Finding:
    """Reads a string property of the device tree; the kernel ends it with a NUL."""
    source = f"device-tree:{name}"
    if not (root / DEVICE_TREE).exists():
        raise NothingFoundError(f"{source} does not exist: this device has no device tree")
    try:
        content = read_bytes(root / DEVICE_TREE / name, MAX_BYTES)
        text = decode_utf8(content.rstrip(b"\0"))
    except UnreadableError as error:
        raise NothingFoundError(f"{source} {error}") from error
    if not text.replace("\0", "").isprintable():
        raise NothingFoundError(f"{source} is binary data, not text")
    if "\0" in text:
        raise NothingFoundError(f"{source} is a list; a single text is expected")
    return Finding(text.strip(), source)
