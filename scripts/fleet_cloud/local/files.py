"""The only writer of files: a private key is made exclusively and 0600, everything else is replaced whole."""

import codecs
import os
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from fleet_cloud.errors import FleetCloudError
from fleet_cloud.local import quoting

# From this value on, the second byte of DER gives the number of length bytes that follow.
_SHORT_LENGTHS = 0x80
MOST = 128 << 20  # bytes: the list of a million devices; a device file has no end
_UTF_16 = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)


def make_folder(folder: Path, mode: int) -> None:
    """Makes a folder, and those above it, unless it exists.

    Raises:
        FleetCloudError: It cannot be made.
    """
    with _reported(f"the folder {folder} cannot be created"):
        folder.mkdir(mode=mode, parents=True, exist_ok=True)


def inside(folder: Path, *names: str) -> Path:
    """Returns a path below a folder, out of names that a file or AWS gave; no link on the way is followed.

    Raises:
        FleetCloudError: A name leads elsewhere, or something on the way is a symbolic link.
    """
    # This is called often, and strings are joined faster than paths.
    path = str(folder).rstrip("/")
    for name in names:
        if name in {"", ".", ".."} or not {"/", "\0"}.isdisjoint(name):
            raise FleetCloudError(
                f"{name!r} cannot be a name in {folder}",
                remedy="check the record in that folder, or choose another --out",
                code="path-refused",
            )
        path = f"{path}/{name}"
        if _is_link(path):
            raise FleetCloudError(
                f"{path} is a symbolic link, and links below {folder} are not followed",
                remedy="put the file itself there, or choose another --out",
                code="path-refused",
            )
    return Path(path)


def create_secret(path: Path, text: str, *, is_synced: bool = True) -> None:
    """Writes a private key to a file that does not exist yet: 0600 from its first moment.

    Without ``is_synced`` a power cut may leave it empty, until ``os.sync``: for many, as each would take milliseconds.

    Raises:
        FleetCloudError: The file exists, or cannot be written.
    """
    with _reported(f"{path} cannot be written"):
        content = text.encode()
        try:
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
        except FileExistsError as error:
            raise FleetCloudError(
                f"{path} already exists, and a private key is never overwritten",
                remedy="choose another --out, or move that file away",
                code="file-exists",
            ) from error
        try:
            while content:
                content = content[os.write(descriptor, content) :]
            if is_synced:
                os.fsync(descriptor)
        except OSError:
            path.unlink()  # ours, half written: the next run would take it for a key
            raise
        finally:
            os.close(descriptor)
        if is_synced:
            _sync_folder(path.parent)


def is_whole(path: Path) -> bool:
    """Returns whether a file is there, and is not what a power cut left of it."""
    try:
        return _is_whole(path.stat())
    except OSError:
        return False


def names_in(folder: Path) -> list[str]:
    """Returns the names of what is in a folder, in order; none when it is not there.

    Raises:
        FleetCloudError: It is not a folder, or cannot be read.
    """
    with _reported(f"{folder} cannot be read"), suppress(FileNotFoundError):
        return sorted(os.listdir(folder))  # noqa: PTH208 - of ten thousand, a path each takes long
    return []


def folders_with(folder: Path, name: str) -> set[str]:
    """Returns which folders in a folder have a file of this name that is whole; no link is followed.

    Raises:
        FleetCloudError: It is not a folder, or cannot be read.
    """
    place = str(folder)
    return {
        each
        for each in names_in(folder)
        if not _is_link(f"{place}/{each}") and _is_whole(_status(f"{place}/{each}/{name}"))
    }


def write_public(path: Path, text: str) -> None:
    """Writes a file without secrets, 0644: the old one or the new one, never a half.

    Raises:
        FleetCloudError: It cannot be written, or something else than a file is in its place.
    """
    if os.path.lexists(path) and (path.is_symlink() or not path.is_file()):
        raise FleetCloudError(
            f"{path} is not a regular file, so it is not replaced",
            remedy="choose another --out, or move it away",
            code="file-exists",
        )
    with _reported(f"{path} cannot be written"):
        descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        try:
            with os.fdopen(descriptor, "w", encoding="utf-8") as file:
                file.write(text)
                os.fchmod(file.fileno(), 0o644)
                file.flush()
                os.fsync(file.fileno())
            Path(name).replace(path)
        except (OSError, UnicodeEncodeError):
            Path(name).unlink(missing_ok=True)
            raise
        _sync_folder(path.parent)


def write_upload(path: Path, content: bytes) -> None:
    """Writes a file that is sent to AWS, in a folder of ours.

    Raises:
        FleetCloudError: It cannot be written.
    """
    with _reported(f"{path} cannot be written"):
        path.write_bytes(content)


def remove(path: Path) -> None:
    """Removes a file, if it exists.

    Raises:
        FleetCloudError: It cannot be removed.
    """
    with _reported(f"{path} cannot be removed"):
        path.unlink(missing_ok=True)


@contextmanager
def temporary_folder() -> Iterator[Path]:
    """Makes a folder that is removed afterwards.

    Raises:
        FleetCloudError: There is no place for one.
    """
    with _reported("no temporary folder can be created"):
        folder = tempfile.TemporaryDirectory()
    with folder as path:
        yield Path(path)


def make_private(path: Path) -> None:
    """Makes a file private (0600), whatever the umask was when another program made it.

    Raises:
        FleetCloudError: It is not ours.
    """
    with _reported(f"the mode of {path} cannot be set"):
        path.chmod(0o600)


def opened(path: Path) -> BinaryIO:
    """Opens a file to read, and waits for no writer of a FIFO; of one that exists, as of ``<(command)``, for all."""

    def opener(name: str, flags: int) -> int:
        descriptor = os.open(name, flags | os.O_NONBLOCK)
        os.set_blocking(descriptor, True)
        return descriptor

    return open(path, "rb", opener=opener)


def read(path: Path) -> str | None:
    """Returns a file's text, or nothing when there is no such file.

    A byte order mark and line ends of Windows are no part of it.

    Raises:
        FleetCloudError: It exists but cannot be read, or is not text in UTF-8.
    """
    try:
        with opened(path) as file:
            content = file.read(MOST + 1)
            is_fifo = stat.S_ISFIFO(os.fstat(file.fileno()).st_mode)
    except FileNotFoundError:
        return None
    except IsADirectoryError as error:
        raise FleetCloudError(
            f"{path} cannot be read: it is a folder",
            remedy="name a file in it",
            code="file-unreadable",
        ) from error
    except OSError as error:
        raise FleetCloudError(
            f"{path} cannot be read: {error.strerror or error}",
            remedy="check it with ls -l",
            code="file-unreadable",
        ) from error
    if is_fifo and not content:
        raise FleetCloudError(
            f"{path} cannot be read: it is a FIFO, and no program writes to it",
            remedy="start the program that writes to it first, or name a file",
            code="file-unreadable",
        )
    if len(content) > MOST:
        raise FleetCloudError(
            f"{path} cannot be read: it has more than {MOST >> 20} MiB",
            remedy="name the right file, or parts of it",
            code="file-unreadable",
        )
    try:
        if not content.startswith(_UTF_16):
            text = content.decode("utf-8-sig")
            return text.replace("\r\n", "\n").replace("\r", "\n")
    except UnicodeDecodeError:
        pass
    problem, remedy = _named(content, path)
    raise FleetCloudError(
        f"{path} cannot be read: it is {problem}", remedy=remedy, code="file-unreadable"
    )


def _named(content: bytes, path: Path) -> tuple[str, str]:
    """Returns what a file is that is not text in UTF-8, and what to type."""
    given, new = quoting.word(path), quoting.word(path.with_suffix(".new"))
    if content.startswith(_UTF_16):
        return (
            "text in UTF-16",
            f"type: iconv -f UTF-16 -t UTF-8 {given} > {new}   and use that file",
        )
    if _is_der(content):
        return (
            "binary, as DER is",
            f"type: openssl x509 -inform DER -in {given} -out {new}   and use that file; for a key: openssl pkey",
        )
    return "not text in UTF-8", "save it as UTF-8"


def _is_der(content: bytes) -> bool:
    """Whether it is one ASN.1 sequence, as certificates and keys are, that ends with the file."""
    if content[:1] != b"\x30" or len(content) < len(b"\x30\x00"):
        return False
    more = max(0, content[1] - _SHORT_LENGTHS)
    head = 2 + more
    length = int.from_bytes(content[2:head], "big") if more else content[1]
    return head + length == len(content)


def _is_whole(found: os.stat_result | None) -> bool:
    return found is not None and stat.S_ISREG(found.st_mode) and found.st_size > 0


def _is_link(path: str) -> bool:
    found = _status(path)
    return found is not None and stat.S_ISLNK(found.st_mode)


def _status(path: str) -> os.stat_result | None:
    try:
        return os.lstat(path)
    except OSError:
        return None  # nothing is there


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def _reported(title: str) -> Iterator[None]:
    try:
        yield
    except UnicodeEncodeError as error:
        raise FleetCloudError(
            f"{title}: its text contains half a character",
            remedy="check where that text comes from",
            code="file-unwritable",
        ) from error
    except OSError as error:
        raise FleetCloudError(
            f"{title}: {error.strerror or error}",
            remedy="choose another --out, or check its owner and mode with ls -ld",
            code="file-unwritable",
        ) from error
