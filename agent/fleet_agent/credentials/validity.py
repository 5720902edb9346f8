"""A certificate's dates, found without a parser: for the daemon, which does not load ``cryptography``."""

import base64
import binascii
import datetime as dt
import re

from fleet_agent.record import record

# In a certificate's DER: SEQUENCE of two times, as UTCTime (two digits for the year) or GeneralizedTime (four).
_VALIDITY = re.compile(
    rb"\x30.(?:\x17\x0d(\d{12})|\x18\x0f(\d{14}))Z(?:\x17\x0d(\d{12})|\x18\x0f(\d{14}))Z",
    re.DOTALL,
)


@record
class Validity:
    """The period of validity of a certificate, in Unix seconds."""

    not_before: float
    not_after: float

    @property
    def life(self) -> float:
        """Seconds from the first moment to the last."""
        return self.not_after - self.not_before


def glance(certificate: str) -> Validity | None:
    """The dates of the first certificate of a text (PEM); None where they cannot be found."""
    try:
        der = base64.b64decode("".join(certificate.split("-----")[2].split()))
        found = _VALIDITY.search(der)
        if found is None:
            return None
        first, last = found.groups()[:2], found.groups()[2:]
        return Validity(not_before=_moment(*first), not_after=_moment(*last))
    except (IndexError, binascii.Error, ValueError):
        return None


def _moment(short: bytes | None, long: bytes | None) -> float:
    """Unix seconds; RFC 5280: a two-digit year from 50 on is of the last century."""
    text = long or (b"19" if (short or b"")[:2] >= b"50" else b"20") + (short or b"")
    numbers = [int(text[:4]), *(int(text[at : at + 2]) for at in range(4, 14, 2))]
    return dt.datetime(*numbers, tzinfo=dt.UTC).timestamp()  # type: ignore[misc,arg-type]
