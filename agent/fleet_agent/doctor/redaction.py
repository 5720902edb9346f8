"""What of a text or a document may leave the device: known fields of documents, and free text without its secrets.

A document is rewritten with only the fields that are known to hold no secret; all others stay here. From free text,
such as the journal, whatever could be a secret is removed: by pattern, and by comparison with the secrets that this
device has.
"""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping

GONE = "(redacted)"

_URL_END = r"\s\"'<>|"
_PATTERNS = (
    # PEM of any private key, whole or cut off
    (re.compile(r"-----BEGIN [A-Z ]*PRIVATE KEY-----.*?(?:-----END [A-Z ]*PRIVATE KEY-----|\Z)", re.DOTALL), GONE),
    # scheme://user:password@host, whatever the password contains
    (re.compile(rf"(\b[a-z][a-z0-9+.-]*://)[^{_URL_END}]*@", re.IGNORECASE), rf"\1{GONE}@"),
    # pin-value of PKCS#11
    (re.compile(r"(pin-value=)[^&;\s\"']+", re.IGNORECASE), rf"\1{GONE}"),
    # a JSON web token
    (re.compile(r"\beyJ[\w-]{5,}\.[\w-]*\.?[\w-]*", re.ASCII), GONE),
    # AWS's access keys, which have a known prefix
    (re.compile(r"\b(?:AKIA|ASIA)[A-Z0-9]{12,}\b"), GONE),
    # our own tokens for AWS credentials over HTTP
    (re.compile(r"\b\d{1,10}\.[0-9a-f]{64}\b", re.ASCII), GONE),
    (re.compile(r"(?m)^(\s*SetCredential\w*=[^:\n]*:).*$"), rf"\1{GONE}"),
    (re.compile(r"(?im)\b((?:Proxy-)?Authorization:\s*\w+\s+)\S+"), rf"\1{GONE}"),
    # AWS's ownership tokens are long and of this alphabet; certificate ids, 64 hex digits, stay
    (re.compile(r"(?<![\w+-])(?![0-9a-f]{64}(?![\w+-]))(?=[\w+-]*\d)[\w+-]{64,}={0,2}(?![\w+-])", re.ASCII), GONE),
)  # fmt: skip
# The name of a secret, and what follows it: on its line, and as a list or block below it.
_NAMED = re.compile(
    r"(?i)^(?P<before>.*?[\w.-]*(?:pass(?:word|wd|phrase)|passwd|secret|token|api[-_ ]?key|credential|private[-_ ]?key"
    r"|\bpin\b|_pin\b|\bpin_)[\w.-]*[\"']?\s*[:=]\s*)(?P<value>.*)$"
)
# Values after such a name that are not secret: a path, a reference, nothing.
_HARMLESS = re.compile(
    r"(?i)^[\"']?(?:null|none|true|false|/[\w./-]*|credential:[\w.-]*|pkcs11:[^?\s]*)?[\"']?[,}\]]?\s*$"
)
_CERTIFICATE = re.compile(r"-----BEGIN CERTIFICATE-----.*?-----END CERTIFICATE-----", re.DOTALL)


def redact(text: str, known: Iterable[str]) -> str:
    """Removes secrets from free text, including the ``known`` ones; certificates, which are public, stay whole."""
    kept = _CERTIFICATE.findall(text)
    parts = _CERTIFICATE.split(text)
    for index, part in enumerate(parts):
        cleaned = part
        for secret in known:
            cleaned = cleaned.replace(secret, GONE)
        for pattern, instead in _PATTERNS:
            cleaned = pattern.sub(instead, cleaned)
        parts[index] = "\n".join(_without_named(cleaned.split("\n")))
    return "".join(
        part + (kept[index] if index < len(kept) else "") for index, part in enumerate(parts)
    )


def _without_named(lines: list[str]) -> Iterator[str]:
    """Yields the lines without what follows a secret's name, and without an indented block or a list below it."""
    below: int | None = None
    for line in lines:
        indent = len(line) - len(line.lstrip())
        if below is not None and line.strip():
            if indent > below or (indent == below and line.lstrip().startswith("- ")):
                yield f"{line[:indent]}{GONE}"
                continue
            below = None
        found = _NAMED.match(line)
        if found is None:
            yield line
            continue
        value = found["value"].strip()
        if value in ("", "|", ">", "|-", ">-", "|+", ">+", "[", "{"):
            below = indent
            yield line
        elif _HARMLESS.match(value) or value.startswith(GONE):
            yield line
        else:
            yield f"{found['before']}{GONE}"


def keep(value: object, fields: Iterable[str], clean: Callable[[str], str]) -> object:
    """Returns a document with its known fields; all others lose their values.

    Args:
        value: As the parser of JSON or YAML returned it.
        fields: The keys whose values may leave; a mapping below a key that ends in ``/`` may have any keys.
        clean: Applied to each text that stays.
    """
    known = frozenset(fields)

    def walk(node: object) -> object:
        if isinstance(node, Mapping):
            return {clean(str(key)): inside(str(key), inner) for key, inner in node.items()}
        if isinstance(node, list | tuple):
            return [walk(inner) for inner in node]
        return clean(node) if isinstance(node, str) else node

    def inside(key: str, inner: object) -> object:
        if f"{key}/" in known and isinstance(inner, Mapping):
            return {clean(str(name)): walk(member) for name, member in inner.items()}
        return walk(inner) if key in known else GONE

    return walk(value)
