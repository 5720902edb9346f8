"""Whose program asks over HTTP: each user has a token of its own, made from a key that this device keeps.

A token outlives restarts of the agent; without the key, which `fleet-agent reset` removes, none is good any more.
"""

import hmac
import os
from pathlib import Path

from fleet_agent import files

NAME = "credentials-http.key"  # in the state directory
_SIZE = 32


class AuthorizationTokens:
    """Gives tokens, and knows them again.

    Args:
        state_dir: Where the key is kept, made where there is none.

    Raises:
        StateDirectoryError: It can be neither read nor written.
    """

    def __init__(self, state_dir: Path) -> None:
        path = state_dir / NAME
        key = files.read(path)
        if key is None or len(key) != _SIZE:
            key = os.urandom(_SIZE)
            files.write(path, key, 0o600)
        self._key = key

    def of(self, user: int) -> str:
        """The token of a user, all of an ``Authorization`` header."""
        return f"{user}.{hmac.new(self._key, str(user).encode(), 'sha256').hexdigest()}"

    def user(self, token: str) -> int | None:
        """Whose token it is; None: nobody's."""
        number = token.partition(".")[0]
        if not (number.isascii() and number.isdecimal()) or not token.isascii():
            return None
        user = int(number[:10])
        return user if hmac.compare_digest(self.of(user), token) else None
