"""Removes secrets, and what identifies the account, from what is kept; and finds any that were left. Pure."""

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

REDACTED = "(redacted)"
# Members that hold a secret, whatever their value.
_SECRET_NAMES = re.compile(
    r"token|secret|private|password|credential|accesskey|keypair", re.IGNORECASE
)
_PEM = re.compile(r"-----BEGIN ([A-Z0-9 ]+)-----.*?(?:-----END \1-----|\Z)", re.DOTALL)
_PATTERNS = (
    (re.compile(r"\b(?:AKIA|ASIA|AROA|AIDA)[A-Z0-9]{12,}\b"), "(access key)"),
    (re.compile(r"\b([0-9a-f]{12})[0-9a-f]{52}\b"), r"\1…"),
    # The first label of the account's endpoints.
    (
        re.compile(
            r"(?<![a-z0-9.-])[a-z0-9]{6,20}(?:-ats)?(?=(?:\.credentials)?\.iot\.[a-z0-9-]+\.amazonaws)"
        ),
        "ENDPOINT",
    ),
)
_LEAKS = (
    ("a private key", re.compile(r"-----BEGIN [A-Z ]*PRIVATE KEY")),
    ("a certificate", re.compile(r"-----BEGIN CERTIFICATE-----")),
    ("an access key", re.compile(r"\b(?:AKIA|ASIA)[A-Z0-9]{12,}\b")),
    ("a certificate's whole id", re.compile(r"\b[0-9a-f]{64}\b")),
)


class Redactor:
    """Knows the account, and the secrets that the run got to see.

    Args:
        account: its number.
    """

    def __init__(self, account: str) -> None:
        self._account = account
        self._secrets: set[str] = set()

    def learn(self, *secrets: str) -> None:
        """Remembers secrets: they are kept nowhere, in whatever place they come back."""
        self._secrets |= {secret for secret in secrets if len(secret) > 5}  # noqa: PLR2004

    def of(self, value: object, name: str = "") -> Any:  # noqa: ANN401  what JSON has
        """Gives a value as it may be kept."""
        if isinstance(value, Mapping):
            return {str(key): self.of(each, str(key)) for key, each in value.items()}
        if isinstance(value, list | tuple):
            return [self.of(each, name) for each in value]
        if not isinstance(value, str):
            return value
        if _SECRET_NAMES.search(name) and value:
            return REDACTED
        return self.text(value)

    def text(self, text: str) -> str:
        """Gives a text as it may be kept."""
        for secret in self._secrets:
            text = text.replace(secret, REDACTED)
        text = _PEM.sub(r"(\1)", text)
        text = re.sub(rf"(?<!\d){re.escape(self._account)}(?!\d)", "ACCOUNT", text)
        for pattern, instead in _PATTERNS:
            text = pattern.sub(instead, text)
        return text

    def leaks(self, text: str) -> Iterator[str]:
        """Yields what a text holds that it must not."""
        yield from found_in(text)
        if re.search(rf"(?<!\d){re.escape(self._account)}(?!\d)", text):
            yield "the account's number"
        if any(secret in text for secret in self._secrets):
            yield "a secret of the run"


def found_in(text: str, patterns: Iterable[tuple[str, re.Pattern[str]]] = _LEAKS) -> Iterator[str]:
    """Yields what looks like a secret in a text."""
    for kind, pattern in patterns:
        if pattern.search(text):
            yield kind
