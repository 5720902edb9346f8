"""The PIN of a hardware token: what can be one, and that a wrong one is given once."""

import json
from pathlib import Path

import pytest

from fleet_agent.credentials.hardware_token import cryptoki, keys, pin
from fleet_agent.credentials.hardware_token.cryptoki import CryptokiError
from fleet_agent.credentials.model import HardwareToken
from fleet_agent.errors import DeviceError


class Session(cryptoki.Session):
    """A token with a PIN; ``code`` is what it answers instead."""

    def __init__(self, right: bytes = b"4321") -> None:
        self.right = right
        self.code: int | None = None
        self.given: list[bytes] = []

    def log_in(self, pin: bytes) -> None:
        self.given.append(pin)
        if self.code is not None:
            raise CryptokiError("C_Login", self.code)
        if pin != self.right:
            raise CryptokiError("C_Login", 0xA0)


@pytest.fixture
def token(tmp_path: Path) -> HardwareToken:
    (tmp_path / "pin").write_bytes(b"4321\n")
    state = tmp_path / "state"
    state.mkdir()
    return HardwareToken(
        module="/lib/x.so", label="the fleet", pin_file=str(tmp_path / "pin"), state_dir=str(state)
    )


def put(token: HardwareToken, data: bytes) -> None:
    Path(token.pin_file).write_bytes(data)


def memory(token: HardwareToken) -> Path:
    return Path(token.state_dir) / pin.REFUSED


@pytest.mark.parametrize(
    "data", [b"4321", b"4321\r\n", b" 4321 \n\n", b"\xef\xbb\xbf4321\n", b"4" * 4096]
)
def test_what_can_be_a_pin(token: HardwareToken, data: bytes) -> None:
    put(token, data)
    expected = data.strip() if data[:1] == b"4" else b"4321"
    assert pin.read(token) == expected


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "is empty"),
        (b"\n \n", "is empty"),
        (b"\xef\xbb\xbf\n", "is empty"),
        ("4321".encode("utf-16"), "is UTF-16, or not text"),
        (b"\xfe\xff\x004", "is UTF-16, or not text"),
        (b"4\x00321", "is UTF-16, or not text"),
        (b"4321\n8765\n", "has more than one line"),
    ],
)
def test_what_cannot_be_one_is_not_tried(token: HardwareToken, data: bytes, words: str) -> None:
    put(token, data)
    session = Session()
    with pytest.raises(DeviceError, match=words) as caught:
        pin.log_in(session, token)
    assert caught.value.code == "pin-unreadable"
    assert token.pin_file in caught.value.title
    assert token.pin_file in caught.value.remedy
    assert session.given == []


def test_a_file_that_is_not_there(token: HardwareToken) -> None:
    Path(token.pin_file).unlink()
    with pytest.raises(DeviceError, match="No such file") as caught:
        pin.read(token)
    assert caught.value.code == "pin-unreadable"
    assert "'the fleet'" in caught.value.title
    assert caught.value.remedy.count(token.pin_file) == 2


@pytest.mark.parametrize("code", [0xA0, 0xA1, 0xA2])
def test_a_wrong_one_is_given_once(token: HardwareToken, code: int) -> None:
    session = Session()
    session.code = code
    for words in ("is wrong", "was refused before, so it is not tried again"):
        with pytest.raises(DeviceError, match=words) as caught:
            pin.log_in(session, token)
        assert caught.value.code == "pin-wrong"
        assert f"'the fleet' in {token.pin_file}" in caught.value.title
        assert token.pin_file in caught.value.remedy
    assert session.given == [b"4321"]
    assert memory(token).stat().st_mode & 0o777 == 0o600
    assert b"4321" not in memory(token).read_bytes()
    # Until the file changes; a right one is the end of it.
    session.code = None
    session.right = b"8765"
    put(token, b"8765\n")
    pin.log_in(session, token)
    assert not memory(token).exists()
    assert session.given == [b"4321", b"8765"]


def test_what_is_remembered_is_different_each_time(token: HardwareToken) -> None:
    found = []
    for _ in range(2):
        memory(token).unlink(missing_ok=True)
        with pytest.raises(DeviceError):
            pin.log_in(Session(b"other"), token)
        found.append(json.loads(memory(token).read_text()))
    assert found[0]["salt"] != found[1]["salt"]
    assert found[0]["pin"] != found[1]["pin"]
    assert [len(bytes.fromhex(each["salt"])) for each in found] == [16, 16]
    assert [len(bytes.fromhex(each["pin"])) for each in found] == [32, 32]


@pytest.mark.parametrize(
    "data", [b"", b"{", b"[]", b'{"salt": "zz"}', b'{"salt": "00"}', b'{"salt": 7, "pin": ""}']
)
def test_a_memory_that_was_not_written_to_the_end_is_none(
    token: HardwareToken, data: bytes
) -> None:
    memory(token).write_bytes(data)
    session = Session()
    pin.log_in(session, token)
    assert session.given == [b"4321"]


def test_a_locked_token_and_other_failures(token: HardwareToken) -> None:
    session = Session()
    session.code = cryptoki.PIN_LOCKED
    with pytest.raises(DeviceError, match="'the fleet' is locked") as caught:
        pin.log_in(session, token)
    assert caught.value.code == "pin-locked"
    assert "--module /lib/x.so --token-label 'the fleet'" in caught.value.remedy
    session.code = 0x30
    with pytest.raises(CryptokiError, match="CKR_DEVICE_ERROR"):
        pin.log_in(session, token)
    assert not memory(token).exists()


# Which token ----------------------------------------------------------------------------------------------------------


class Module(cryptoki.Module):
    """Knows tokens."""

    def __init__(self, *there: tuple[int, str, int]) -> None:
        self.there = there

    def tokens(self):  # type: ignore[no-untyped-def] # noqa: ANN201
        return iter(self.there)


OTHER = (1, "other", cryptoki.LOCKED | cryptoki.LAST_TRY)


def test_the_token_of_the_label_is_taken_whatever_the_others_are(token: HardwareToken) -> None:
    assert keys._slot(Module(OTHER, (7, "the fleet", 0x40D), (8, "", 0)), token) == 7


@pytest.mark.parametrize(
    ("there", "code", "words"),
    [
        ([(2, "the fleet", cryptoki.LOCKED | cryptoki.LAST_TRY)], "pin-locked", "is locked"),
        ([(2, "the fleet", cryptoki.LAST_TRY)], "pin-last-try", "one more wrong PIN"),
        (
            [(2, "the fleet", 0), (3, "the fleet", 0)],
            "hardware-token-ambiguous",
            "2 hardware tokens",
        ),
        ([(2, "", 0), (3, "a", 0), (4, "b", 0)], "hardware-token-missing", "shows: 'a', 'b'."),
        ([(2, "", 0)], "hardware-token-missing", "/lib/x.so shows: none."),
        ([], "hardware-token-missing", "no hardware token 'the fleet'"),
    ],
)
def test_a_token_that_is_not_to_be_used(
    token: HardwareToken, there: list[tuple[int, str, int]], code: str, words: str
) -> None:
    with pytest.raises(DeviceError, match=words) as caught:
        keys._slot(Module(*there), token)
    assert caught.value.code == code
    if code == "pin-last-try":
        assert "--module /lib/x.so --token-label 'the fleet'" in caught.value.remedy
