"""PKCS#11 URIs (RFC 7512), as far as they name a private key: ``pkcs11:token=T;object=L?module-path=P&pin-source=F``.

Pure. A PIN in the URI (``pin-value``) is refused: configuration is no place for a secret.
"""

from collections.abc import Mapping

from fleet_agent.config.shape import WrongValueError

SCHEME = "pkcs11:"
_PATH = frozenset({"token", "object", "type"})
_QUERY = frozenset({"module-path", "pin-source"})
_EXAMPLE = "write pkcs11:token=TOKEN;object=KEY?module-path=/usr/lib/….so&pin-source=FILE"


def is_uri(text: str) -> bool:
    """Whether this is meant as a PKCS#11 URI."""
    return text.startswith(SCHEME)


def read(text: str) -> dict[str, str]:
    """The attributes of a URI; never quotes a value in an error.

    Raises:
        WrongValueError: It lacks something, or has an attribute that is not understood.
    """
    from urllib.parse import unquote  # not with every command

    path, _, query = text.removeprefix(SCHEME).partition("?")
    found: dict[str, str] = {}
    for known, parts in ((_PATH, path.split(";")), (_QUERY, query.split("&"))):
        for part in filter(None, parts):
            name, equals, value = part.partition("=")
            if name == "pin-value":
                raise WrongValueError(
                    "contains the PIN",
                    "write the PIN into a file and name the file: pin-source=FILE",
                )
            if not equals or name not in known or name in found:
                names = ", ".join(sorted(known))
                raise WrongValueError(
                    f"has the unknown attribute {name!r}; known are {names}", _EXAMPLE
                )
            found[name] = unquote(value)
    if not found.get("token") or not found.get("object"):
        raise WrongValueError("lacks token or object, the labels of token and key", _EXAMPLE)
    if found.get("type", "private") != "private":
        raise WrongValueError("does not name a private key", "remove type")
    if "pin-source" in found:
        found["pin-source"] = found["pin-source"].removeprefix("file:").replace("///", "/", 1)
    return found


def write(attributes: Mapping[str, str]) -> str:
    """The URI with these attributes, in their order."""
    from urllib.parse import quote

    def join(names: frozenset[str], sign: str) -> str:
        return sign.join(
            f"{name}={quote(value, safe='/:-._~')}"
            for name, value in attributes.items()
            if name in names
        )

    query = join(_QUERY, "&")
    return SCHEME + join(_PATH, ";") + (f"?{query}" if query else "")
