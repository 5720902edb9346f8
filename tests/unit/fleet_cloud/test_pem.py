"""Operators' files as they come: every encoding and kind is named for what it is, with the command that converts it."""

import shlex
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from fleet_cloud.console import Console
from fleet_cloud.errors import FleetCloudError
from fleet_cloud.local import files, openssl, pem
from fleet_cloud.local.shell import Shell

Change = Callable[[bytes], bytes]


def run(*words: str | Path, stdin: bytes = b"") -> bytes:
    return subprocess.run(words, input=stdin, check=True, capture_output=True).stdout


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> tuple[bytes, bytes]:
    """A certificate and its key."""
    key = tmp_path_factory.mktemp("pair") / "key"
    curve = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes")
    certificate = run("openssl", "req", "-x509", *curve, "-keyout", key, "-subj", "/CN=a")
    return certificate, key.read_bytes()


RIGHT: dict[str, Change] = {
    "plain": lambda text: text,
    "byte order mark": lambda text: b"\xef\xbb\xbf" + text,
    "line ends of Windows": lambda text: text.replace(b"\n", b"\r\n"),
    "text around it": lambda text: b"Subject: CN=a\n" + text + b"\x1b[2J and more\n",
    "no line end": lambda text: text.rstrip(),
}

WRONG: dict[str, tuple[Change, str, str]] = {
    "DER": (
        lambda text: run("openssl", "x509", "-outform", "DER", stdin=text),
        "DER",
        "-inform DER",
    ),
    "UTF-16": (lambda text: text.decode().encode("utf-16"), "UTF-16", "iconv -f UTF-16"),
    "Latin 1": (lambda text: b"\xe9\n" + text, "not text in UTF-8", "UTF-8"),
    "literal line breaks": (
        lambda text: text.replace(b"\n", rb"\n"),
        r"written as \n",
        "printf %b",
    ),
    "X509 CERTIFICATE": (
        lambda text: text.replace(b"CERTIFICATE", b"X509 CERTIFICATE"),
        "an X509 certificate",
        "openssl x509",
    ),
    "PKCS#7": (
        lambda text: run("openssl", "crl2pkcs7", "-nocrl", "-certfile", "/dev/stdin", stdin=text),
        "PKCS#7",
        "openssl pkcs7",
    ),
    "cut off": (lambda text: text[:200], "truncated", "download it again"),
    "damaged": (lambda text: text[:100] + b"!" + text[101:], "damaged", "download it again"),
    "nothing": (lambda _: b"", "no certificate", "BEGIN CERTIFICATE"),
}


@pytest.mark.parametrize("change", RIGHT.values(), ids=[*RIGHT])
def test_certificates_are_read_and_nothing_else_is_passed_on(
    tmp_path: Path, pair: tuple[bytes, bytes], change: Change
) -> None:
    path = tmp_path / "ca.pem"
    path.write_bytes(change(pair[0]))
    assert pem.certificates(path, "--ca-file") == pair[0].decode()


@pytest.mark.parametrize(("change", "what", "remedy"), WRONG.values(), ids=[*WRONG])
def test_file_that_is_no_ca_file_is_named_for_what_it_is(
    tmp_path: Path, pair: tuple[bytes, bytes], change: Change, what: str, remedy: str
) -> None:
    path = tmp_path / "a file"
    path.write_bytes(change(pair[0]))
    with pytest.raises(FleetCloudError) as refused:
        pem.certificates(path, "--ca-file")
    assert what in str(refused.value)
    assert remedy in refused.value.remedy


def test_private_key_in_a_ca_file_is_refused_and_not_shown(
    tmp_path: Path, pair: tuple[bytes, bytes]
) -> None:
    path = tmp_path / "both.pem"
    path.write_bytes(b"".join(pair))
    with pytest.raises(FleetCloudError, match="contains a private key") as refused:
        pem.certificates(path, "--ca-file")
    assert pair[1].decode().splitlines()[1] not in str(refused.value) + refused.value.remedy


@pytest.mark.parametrize(
    "kind", ["X509 CERTIFICATE", "PKCS#7", "literal line breaks", "UTF-16", "DER"]
)
def test_command_that_is_named_converts_the_file(
    tmp_path: Path, pair: tuple[bytes, bytes], kind: str
) -> None:
    change, *_ = WRONG[kind]
    path = tmp_path / "a file"
    path.write_bytes(change(pair[0]))
    with pytest.raises(FleetCloudError) as refused:
        pem.certificates(path, "--ca-file")
    command = refused.value.remedy.removeprefix("type: ").partition("   and use")[0]
    subprocess.run(["sh", "-ec", command], check=True, capture_output=True)
    words = shlex.split(command)
    new = Path(words[words.index("-out") + 1] if "-out" in words else words[-1])
    assert pem.certificates(new, "--ca-file") == pair[0].decode()


KEYS: dict[str, tuple[Change, str, str]] = {
    "passphrase": (
        lambda text: run("openssl", "pkey", "-aes256", "-passout", "pass:x", stdin=text),
        "protected by a passphrase",
        "openssl pkey",
    ),
    "public": (
        lambda text: run("openssl", "pkey", "-pubout", stdin=text),
        "a public key",
        "replace it by the",
    ),
    "literal line breaks": (
        lambda text: text.replace(b"\n", rb"\n"),
        r"written as \n",
        "printf %b",
    ),
    "nothing": (lambda _: b"x", "no private key", "replace it by the key"),
}


@pytest.mark.parametrize(("change", "what", "remedy"), KEYS.values(), ids=[*KEYS])
def test_file_that_is_no_key_is_named_for_what_it_is(
    tmp_path: Path, pair: tuple[bytes, bytes], change: Change, what: str, remedy: str
) -> None:
    path = tmp_path / "key"
    path.write_bytes(change(pair[1]))
    shell = Shell(Console(as_json=False, is_verbose=False), dry_run=False)
    with pytest.raises(FleetCloudError, match="cannot be read by openssl") as refused:
        openssl.public_key(shell, path)
    assert what in str(refused.value)
    assert remedy in refused.value.remedy


def test_text_is_read_without_mark_and_with_one_kind_of_line_end(tmp_path: Path) -> None:
    path = tmp_path / "list"
    path.write_bytes(b"\xef\xbb\xbfa\r\nb\rc\n")
    assert files.read(path) == "a\nb\nc\n"
    assert files.read(tmp_path / "none") is None
