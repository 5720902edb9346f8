"""Values that stand in firmware where no serial number was written: many devices, one value.

Provisioning with one of them gives a whole batch the same name, so they are refused from every
source but a literal, which somebody wrote on purpose. The list is docs/reference/parameters.md's.
"""

import re

# In lower case. Seen in the DMI tables of shipped boards, in the kernel's and in systemd's own
# defaults, or plain words for "nothing".
KNOWN = frozenset(
    {
        "to be filled by o.e.m.",
        "to be filled by o.e.m",
        "to be filled by oem",
        "to be set by oem",
        "o.e.m.",
        "o.e.m",
        "oem",
        "default string",
        "system serial number",
        "base board serial number",
        "chassis serial number",
        "type2 - board serial number",
        "board serial number",
        "serial number",
        "serialnumber",
        "system product name",
        "system manufacturer",
        "system version",
        "not specified",
        "not applicable",
        "not available",
        "not settable",
        "not set",
        "not defined",
        "undefined",
        "unspecified",
        "unknown",
        "uninitialized",
        "unset",
        "invalid",
        "empty",
        "none",
        "null",
        "nil",
        "n/a",
        "tbd",
        "0123456789",
        "1234567890",
        "123456789",
        "12345678",
        "0123456789abcdef",
        "123456789abcdef",
        "123456789abcdef0",
        "03000200-0400-0500-0006-000700080009",
        "fefefefe-fefe-fefe-fefe-fefefefefefe",
        "12345678-1234-5678-90ab-cddeefaabbcc",
    }
)

# How many times one character must stand there before it is no serial: "77" may be device 77.
_REPEATED = 4


def is_placeholder(text: str) -> bool:
    """Whether a value is a placeholder, which does not identify this device.

    That is: nothing at all; a listed word, in any case; only zeros; or one character four times or
    more. Separators (space ``-`` ``_`` ``:`` ``.``) do not count.
    """
    bare = re.sub(r"[\s_:.-]", "", text)
    if not bare or text.strip().lower() in KNOWN:
        return True
    is_repeated = len(set(bare.lower())) == 1
    return is_repeated and (bare[0] == "0" or len(bare) >= _REPEATED)
