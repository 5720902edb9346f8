"""What the registry remembers of a thing's registrations, in one attribute of the thing. Pure.

A thing without a type has room for three attributes, and text in one may be of few characters; so it is one attribute
of ``name:value`` pairs with commas between them.
"""

import dataclasses
import re

ATTRIBUTE = "registration"
PARAMETER = "Registration"  # of the template; AWS IoT writes it into the attribute as it registers

HASH = re.compile("[0-9a-f]{64}")
_PAIR = re.compile("([a-z]+):([0-9a-f]+)")
_ID_DIGITS = 16  # of a certificate's id: enough to know it again


@dataclasses.dataclass(frozen=True, kw_only=True)
class Registration:
    """What is remembered.

    Args:
        key: The hash of the public key that was let in last.
        certificate: The beginning of that certificate's id.
        at: When, in seconds since 1970.
        given: AWS IoT has registered it: the thing has, or had, a certificate.
        expected: The hash of the one public key that may register first; empty for any.
        until: When the window ends that an operator opened; 0 for none.
        any_key: In the window another key may register, once.
        second: The id of the certificate that came by a claim though the thing had one; empty for none.
    """

    key: str = ""
    certificate: str = ""
    at: int = 0
    given: bool = False
    expected: str = ""
    until: int = 0
    any_key: bool = False
    second: str = ""

    @classmethod
    def read(cls, text: object) -> "Registration":
        """Reads it; what is not known is left out."""
        found = dict(_PAIR.findall(text)) if isinstance(text, str) else {}
        return cls(
            key=found.get("key", ""),
            certificate=found.get("id", ""),
            at=_seconds(found.get("at")),
            given="given" in found,
            expected=found.get("expected", ""),
            until=_seconds(found.get("until")),
            any_key="any" in found,
            second=found.get("second", ""),
        )

    def __str__(self) -> str:
        """Returns the attribute's value."""
        pairs = {
            "key": self.key,
            "id": self.certificate,
            "at": self.at,
            "given": int(self.given),
            "expected": self.expected,
            "until": self.until,
            "any": int(self.any_key),
            "second": self.second,
        }
        return ",".join(f"{name}:{value}" for name, value in pairs.items() if value)

    @property
    def attribute(self) -> dict[str, str]:
        """It as the attribute of a thing."""
        return {ATTRIBUTE: str(self)}

    def is_of(self, certificate_id: str) -> bool:
        """Whether this certificate was let in last."""
        return bool(self.certificate) and certificate_id.startswith(self.certificate)

    def let_in(self, key: str, certificate_id: str, now: float) -> "Registration":
        """Returns what is remembered once this certificate was let in."""
        return dataclasses.replace(
            self, key=key, certificate=certificate_id[:_ID_DIGITS], at=int(now)
        )


NOTHING = Registration()


def _seconds(text: str | None) -> int:
    return int(text) if text and text.isdecimal() else 0
