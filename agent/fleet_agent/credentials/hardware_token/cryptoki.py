"""A PKCS#11 module (Cryptoki 2.40), as much of it as a device needs: find, make, sign with and destroy a key pair.

Through ctypes, so that no further package is needed on the device. A module is initialised once in a process and not
finalised: the SDK uses the same one from its own threads, and a finalisation would take it away from under it. A
process without the SDK may have it ``reload``ed.
"""

import ctypes
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, ClassVar

from fleet_agent.files.pinned import foreign_part

# Return values, by the names that vendors' manuals use.
_NAMES = {
    0x02: "CKR_HOST_MEMORY",
    0x03: "CKR_SLOT_ID_INVALID",
    0x05: "CKR_GENERAL_ERROR",
    0x06: "CKR_FUNCTION_FAILED",
    0x30: "CKR_DEVICE_ERROR",
    0x31: "CKR_DEVICE_MEMORY",
    0x32: "CKR_DEVICE_REMOVED",
    0x54: "CKR_FUNCTION_NOT_SUPPORTED",
    0x70: "CKR_MECHANISM_INVALID",
    0x82: "CKR_OBJECT_HANDLE_INVALID",
    0xA0: "CKR_PIN_INCORRECT",
    0xA1: "CKR_PIN_INVALID",
    0xA2: "CKR_PIN_LEN_RANGE",
    0xA3: "CKR_PIN_EXPIRED",
    0xA4: "CKR_PIN_LOCKED",
    0xB3: "CKR_SESSION_HANDLE_INVALID",
    0xE0: "CKR_TOKEN_NOT_PRESENT",
    0xE1: "CKR_TOKEN_NOT_RECOGNIZED",
    0xE2: "CKR_TOKEN_WRITE_PROTECTED",
    0x101: "CKR_USER_NOT_LOGGED_IN",
    0x102: "CKR_USER_PIN_NOT_INITIALIZED",
}
PIN_WRONG = frozenset({0xA0, 0xA1, 0xA2})
PIN_LOCKED, PIN_EXPIRED = 0xA4, 0xA3
_ALREADY_INITIALISED, _ALREADY_LOGGED_IN = 0x191, 0x100
_OS_LOCKING = 2
_SERIAL, _READ_WRITE = 4, 2
_USER = 1
_UNAVAILABLE = ctypes.c_ulong(-1).value

# The place of each function in the module's list.
_FUNCTIONS = {
    "C_Initialize": 0,
    "C_Finalize": 1,
    "C_GetSlotList": 4,
    "C_GetTokenInfo": 6,
    "C_OpenSession": 12,
    "C_CloseSession": 13,
    "C_Login": 18,
    "C_DestroyObject": 22,
    "C_GetAttributeValue": 24,
    "C_FindObjectsInit": 26,
    "C_FindObjects": 27,
    "C_FindObjectsFinal": 28,
    "C_SignInit": 42,
    "C_Sign": 43,
    "C_GenerateKeyPair": 59,
}

PUBLIC_KEY, PRIVATE_KEY = 2, 3  # CKO_…
RSA, EC = 0, 3  # CKK_…
CLASS, TOKEN, PRIVATE, LABEL, KEY_TYPE, ID = 0x0, 0x1, 0x2, 0x3, 0x100, 0x102  # CKA_…
SENSITIVE, SIGN, VERIFY, EXTRACTABLE = 0x103, 0x108, 0x10A, 0x162
MODULUS, MODULUS_BITS, PUBLIC_EXPONENT = 0x120, 0x121, 0x122
EC_PARAMS, EC_POINT = 0x180, 0x181
SIGN_RSA, MAKE_RSA = 0x1, 0x0  # CKM_RSA_PKCS, CKM_RSA_PKCS_KEY_PAIR_GEN
SIGN_EC, MAKE_EC = 0x1041, 0x1040  # CKM_ECDSA, CKM_EC_KEY_PAIR_GEN

LAST_TRY, LOCKED = 0x20000, 0x40000  # CKF_USER_PIN_…, in a hardware token's flags

Value = bool | int | bytes


class ModuleError(Exception):
    """The module cannot be loaded; the text gives the reason."""


class CryptokiError(Exception):
    """A call failed; ``code`` is its CKR."""

    def __init__(self, function: str, code: int) -> None:
        super().__init__(f"{function}: {_NAMES.get(code, hex(code))}")
        self.code = code


class _Arguments(ctypes.Structure):
    _fields_: ClassVar[Any] = [
        ("create", ctypes.c_void_p),
        ("destroy", ctypes.c_void_p),
        ("lock", ctypes.c_void_p),
        ("unlock", ctypes.c_void_p),
        ("flags", ctypes.c_ulong),
        ("reserved", ctypes.c_void_p),
    ]


class _TokenInfo(ctypes.Structure):
    _fields_: ClassVar[Any] = [
        ("label", ctypes.c_char * 32),
        ("before", ctypes.c_char * 64),
        ("flags", ctypes.c_ulong),
        ("after", ctypes.c_ulong * 10),
        ("versions", ctypes.c_ubyte * 4),
        ("time", ctypes.c_char * 16),
    ]


class _Attribute(ctypes.Structure):
    _fields_: ClassVar[Any] = [
        ("type", ctypes.c_ulong),
        ("value", ctypes.c_void_p),
        ("length", ctypes.c_ulong),
    ]


class _Mechanism(ctypes.Structure):
    _fields_: ClassVar[Any] = [
        ("mechanism", ctypes.c_ulong),
        ("parameter", ctypes.c_void_p),
        ("length", ctypes.c_ulong),
    ]


_loaded: dict[str, "Module"] = {}


class Module:
    """A loaded and initialised module; ``load`` gives the one of this process."""

    def __init__(self, path: str) -> None:
        try:
            library = ctypes.CDLL(path)
            get_list = library.C_GetFunctionList
        except (OSError, AttributeError) as error:
            raise ModuleError(str(error)) from error
        table = ctypes.c_void_p()
        self._check("C_GetFunctionList", get_list(ctypes.byref(table)))
        # CK_FUNCTION_LIST: two bytes of version, then pointers.
        start = (table.value or 0) + ctypes.sizeof(ctypes.c_void_p)
        count = max(_FUNCTIONS.values()) + 1
        addresses = (ctypes.c_void_p * count).from_address(start)
        make = ctypes.CFUNCTYPE(ctypes.c_ulong)
        self._functions: dict[str, Any] = {
            name: make(addresses[index] or 0) for name, index in _FUNCTIONS.items()
        }
        self._library = library
        self._initialise()

    def _initialise(self) -> None:
        arguments = _Arguments(flags=_OS_LOCKING)
        with _allowing(_ALREADY_INITIALISED):
            self.call("C_Initialize", ctypes.byref(arguments))

    @staticmethod
    def load(path: str) -> "Module":
        """The module at this path.

        Raises:
            ModuleError: It is missing, or is no PKCS#11 module.
            CryptokiError: It does not start.
        """
        if path not in _loaded:
            _refuse_foreign(path)
            _loaded[path] = Module(path)
        return _loaded[path]

    def reload(self) -> None:
        """Ends it and initialises it again; not where the SDK uses it.

        Some modules, such as tpm2-pkcs11, show a process no key that another one made since the initialisation.

        Raises:
            CryptokiError: It does not end, or does not start again.
        """
        self.call("C_Finalize", None)
        self._initialise()

    def call(self, name: str, *arguments: object) -> None:
        """Calls one of its functions.

        Raises:
            CryptokiError: It answers with anything but CKR_OK.
        """
        self._check(name, self._functions[name](*arguments))

    @staticmethod
    def _check(name: str, code: int) -> None:
        if code != 0:
            raise CryptokiError(name, code)

    def tokens(self) -> Iterator[tuple[int, str, int]]:
        """Slot, label and flags of every hardware token that is there."""
        count = ctypes.c_ulong()
        present = ctypes.c_ubyte(1)
        self.call("C_GetSlotList", present, None, ctypes.byref(count))
        slots = (ctypes.c_ulong * count.value)()
        self.call("C_GetSlotList", present, slots, ctypes.byref(count))
        for slot in slots[: count.value]:
            info = _TokenInfo()
            try:
                self.call("C_GetTokenInfo", ctypes.c_ulong(slot), ctypes.byref(info))
            except CryptokiError:
                continue  # one that was pulled out a moment ago
            raw = ctypes.string_at(ctypes.byref(info), 32)  # padded with blanks, not ended by NUL
            yield slot, raw.decode("utf-8", "replace").rstrip(" \0"), info.flags

    @contextmanager
    def session(self, slot: int) -> Iterator["Session"]:
        """A read-write session with the hardware token in a slot, closed in the end."""
        handle = ctypes.c_ulong()
        flags = ctypes.c_ulong(_SERIAL | _READ_WRITE)
        self.call("C_OpenSession", ctypes.c_ulong(slot), flags, None, None, ctypes.byref(handle))
        try:
            yield Session(self, handle)
        finally:
            with _allowing():
                self.call("C_CloseSession", handle)


class Session:
    """A session with a hardware token; every method raises ``CryptokiError``."""

    def __init__(self, module: Module, handle: ctypes.c_ulong) -> None:
        self._module = module
        self._handle = handle

    def log_in(self, pin: bytes) -> None:
        """Gives the user's PIN, once. If another session of this process has logged in, it is not checked."""
        with _allowing(_ALREADY_LOGGED_IN):
            self._call("C_Login", ctypes.c_ulong(_USER), pin, ctypes.c_ulong(len(pin)))

    def find(self, template: Mapping[int, Value]) -> list[int]:
        """The objects with these attributes, 16 at most."""
        attributes, _kept = _template(template)
        self._call("C_FindObjectsInit", attributes, ctypes.c_ulong(len(template)))
        found = (ctypes.c_ulong * 16)()
        count = ctypes.c_ulong()
        try:
            self._call("C_FindObjects", found, ctypes.c_ulong(len(found)), ctypes.byref(count))
        finally:
            self._call("C_FindObjectsFinal")
        return list(found[: count.value])

    def attribute(self, item: int, kind: int) -> bytes:
        """One attribute of an object, as it is; empty when the object has none."""
        asked = _Attribute(type=kind)
        arguments = (ctypes.c_ulong(item), ctypes.byref(asked), ctypes.c_ulong(1))
        try:
            self._call("C_GetAttributeValue", *arguments)
        except CryptokiError:
            return b""
        if asked.length in (0, _UNAVAILABLE):
            return b""
        buffer = ctypes.create_string_buffer(asked.length)
        asked.value = ctypes.cast(buffer, ctypes.c_void_p)
        self._call("C_GetAttributeValue", *arguments)
        return buffer.raw[: asked.length]

    def make_pair(
        self, mechanism: int, public: Mapping[int, Value], private: Mapping[int, Value]
    ) -> None:
        """Makes a key pair in the hardware token."""
        how = _Mechanism(mechanism=mechanism)
        publics, _kept = _template(public)
        privates, _kept_too = _template(private)
        handles = ctypes.c_ulong(), ctypes.c_ulong()
        self._call(
            "C_GenerateKeyPair",
            ctypes.byref(how),
            publics,
            ctypes.c_ulong(len(public)),
            privates,
            ctypes.c_ulong(len(private)),
            *map(ctypes.byref, handles),
        )

    def sign(self, key: int, mechanism: int, data: bytes) -> bytes:
        """Signs with a private key of the hardware token."""
        how = _Mechanism(mechanism=mechanism)
        self._call("C_SignInit", ctypes.byref(how), ctypes.c_ulong(key))
        buffer = ctypes.create_string_buffer(1024)
        length = ctypes.c_ulong(len(buffer))
        self._call("C_Sign", data, ctypes.c_ulong(len(data)), buffer, ctypes.byref(length))
        return buffer.raw[: length.value]

    def destroy(self, item: int) -> None:
        """Destroys an object."""
        self._call("C_DestroyObject", ctypes.c_ulong(item))

    def _call(self, name: str, *arguments: object) -> None:
        self._module.call(name, self._handle, *arguments)


def _refuse_foreign(path: str) -> None:
    """As root, refuses a module that others than root could have placed: it would run with root's rights."""
    if os.geteuid() != 0 or "/" not in path:
        return
    try:
        part = foreign_part(Path(path))
    except OSError as error:
        raise ModuleError(error.strerror) from error
    if part is not None:
        raise ModuleError(f"root loads only files that root alone can change, unlike {part}")


@contextmanager
def _allowing(*codes: int) -> Iterator[None]:
    """Treats these answers as success; without any, all of them."""
    try:
        yield
    except CryptokiError as error:
        if codes and error.code not in codes:
            raise


def _template(template: Mapping[int, Value]) -> tuple[Any, Sequence[object]]:
    """The attributes as C has them, and what must live as long."""
    attributes = (_Attribute * len(template))()
    kept = []
    for slot, (kind, value) in zip(attributes, template.items(), strict=True):
        if isinstance(value, bool):
            raw = bytes([value])
        elif isinstance(value, int):
            raw = bytes(ctypes.c_ulong(value))
        else:
            raw = value
        buffer = ctypes.create_string_buffer(raw, len(raw))
        kept.append(buffer)
        slot.type, slot.length = kind, len(raw)
        slot.value = ctypes.cast(buffer, ctypes.c_void_p)
    return attributes, kept
