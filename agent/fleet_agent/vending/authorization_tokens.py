"""Tokens that identify the user of an HTTP request: an HMAC of the user id under a key that this device keeps.

A token survives restarts of the agent; `fleet-agent reset` removes the key, which invalidates every token.
"""

import hmac
import os
from pathlib import Path

from fleet_agent import files

NAME = "credentials-http.key"  # in the state directory
_SIZE = 32


class AuthorizationTokens:
    """Issues and verifies tokens.

    Args:
        state_dir: Where the key is kept; it is created if missing.

    Raises:
        StateDirectoryError: The key can be neither read nor written.
    """

    def __init__(self, state_dir: Path) -> None:
        path = state_dir / NAME
        key = files.read(path)
        if key is None or len(key) != _SIZE:
            key = os.urandom(_SIZE)
            files.write(path, key, 0o600)
        self._key = key

    def of(self, user: int) -> str:
        """Returns a user's token, the whole value of an ``Authorization`` header."""
        return f"{user}.{hmac.new(self._key, str(user).encode(), 'sha256').hexdigest()}"

    def user(self, token: str) -> int | None:
        """Returns the user id that a token belongs to; None: it is invalid."""
        number = token.partition(".")[0]
        if not (number.isascii() and number.isdecimal()) or not token.isascii():
            return None
        user = int(number[:10])
        return user if hmac.compare_digest(self.of(user), token) else None
