"""What is the agent's own on this device: nothing publishes it, and no message overwrites it.

Links are followed where the configuration leads, for logs and images have them. So what is judged is not the path but
the file that was opened, or the folder that is about to be written to: also through a bind mount, or by a hard link.
"""

import errno
import os
from collections.abc import Iterable
from pathlib import Path

_Identity = tuple[int, int]  # device and inode


class OwnFileError(OSError):
    """The file is the agent's own."""

    def __init__(self) -> None:
        super().__init__(errno.EPERM, "it is one of the agent's own files, perhaps through a link")


class Reserved:
    """The agent's own folders and files.

    Args:
        folders: With all that is in them.
        files: Others; one that is not there is fine.
    """

    def __init__(self, folders: Iterable[Path], files: Iterable[Path] = ()) -> None:
        self._folders = tuple(folders)
        self._files = tuple(files)

    def refuse(self, descriptor: int) -> None:
        """Judges a file that is open.

        Raises:
            OwnFileError: It is the agent's own.
        """
        found = os.fstat(descriptor)
        folder = Path(f"/proc/self/fd/{descriptor}").readlink().parent
        if (
            self._is_in(folder)
            or self._is_own(found)
            or (found.st_nlink > 1 and _identity(found) in self._all())
        ):
            raise OwnFileError

    def refuse_target(self, path: Path) -> None:
        """Judges a file that is about to be written.

        Raises:
            OwnFileError: It is the agent's own, or would lie among what is.
        """
        if self._is_in(Path(os.path.realpath(path.parent))):
            raise OwnFileError
        try:
            found = path.stat()
        except OSError:
            return
        if self._is_own(found):
            raise OwnFileError

    def _is_in(self, folder: Path) -> bool:
        own = set(_identities(self._folders))
        return not own.isdisjoint(_identities((folder, *folder.parents)))

    def _is_own(self, found: os.stat_result) -> bool:
        return _identity(found) in _identities(self._files)

    def _all(self) -> Iterable[_Identity]:
        return _identities(path for folder in self._folders for path in folder.rglob("*"))


def _identities(paths: Iterable[Path]) -> Iterable[_Identity]:
    for path in paths:
        try:
            yield _identity(path.stat())
        except OSError:
            continue


def _identity(found: os.stat_result) -> _Identity:
    return found.st_dev, found.st_ino
