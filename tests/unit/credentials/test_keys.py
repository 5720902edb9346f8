import base64
import datetime as dt
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import cryptography
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import pkcs12

from fleet_agent.credentials import certificates, keys, pem_file
from fleet_agent.credentials.model import KeyPair, Secret
from fleet_agent.credentials.validity import Validity, glance
from fleet_agent.errors import DeviceError
from support import csr as making
from support.certificates import make_certificate


def caught(error: pytest.ExceptionInfo[DeviceError]) -> tuple[str, bool]:
    return error.value.code, bool(error.value.remedy)


def test_a_key_made_here_is_ec_p256() -> None:
    pem = keys.make_private_key("ec-p256").reveal()
    key = serialization.load_pem_private_key(pem.encode(), password=None)
    assert isinstance(key, ec.EllipticCurvePrivateKey)
    assert key.curve.name == "secp256r1"
    assert pem.startswith("-----BEGIN PRIVATE KEY-----\n")


def test_a_key_made_here_is_rsa_when_asked_for() -> None:
    pem = keys.make_private_key("rsa-2048").reveal()
    key = serialization.load_pem_private_key(pem.encode(), password=None)
    assert isinstance(key, rsa.RSAPrivateKey)
    assert key.key_size == 2048


@pytest.mark.parametrize("kind", ["ec-p256", "rsa-2048"])
def test_a_request_is_for_its_key_and_signed_by_it(kind: str) -> None:
    private = keys.make_private_key(kind)
    made = keys.make_csr(private)
    request = x509.load_pem_x509_csr(made.pem.encode())
    assert request.is_signature_valid
    assert made.public_key == keys.public_key_of_key(private, "it")
    assert keys.read_csr(made.pem.encode(), "it") == made
    assert len(made.pem) < keys.MAX_CSR_BYTES


@pytest.mark.parametrize("kind", ["ec-p256", "ec-p384", "ec-p521", "rsa-2048"])
def test_a_request_made_elsewhere(kind: str) -> None:
    pem = making.make_csr(making.make_key(kind))
    read = keys.read_csr(pem.encode(), "device.csr")
    assert read.pem == pem
    assert len(read.hash) == 64


@pytest.mark.parametrize("kind", ["rsa-1024", "ec-p224", "ec-k256"])
def test_a_request_with_a_key_that_aws_refuses(kind: str) -> None:
    pem = making.make_csr(making.make_key(kind))
    with pytest.raises(DeviceError, match=r"device\.csr has .* AWS IoT accepts") as error:
        keys.read_csr(pem.encode(), "device.csr")
    assert caught(error) == ("csr-weak-key", True)
    # With the same key the next request would be refused as well.
    assert "-newkey ec" in error.value.remedy


def test_a_request_with_a_key_of_another_kind() -> None:
    builder = x509.CertificateSigningRequestBuilder().subject_name(x509.Name([]))
    request = builder.sign(ed25519.Ed25519PrivateKey.generate(), None)
    with pytest.raises(DeviceError, match="neither RSA nor EC") as error:
        keys.read_csr(request.public_bytes(serialization.Encoding.PEM), "device.csr")
    assert caught(error) == ("csr-weak-key", True)


@pytest.mark.parametrize(
    "pem", [b"", b"hello", b"\xff\x00", b"-----BEGIN CERTIFICATE REQUEST-----\n"]
)
def test_what_is_no_request(pem: bytes) -> None:
    with pytest.raises(DeviceError, match=r"device\.csr contains no") as error:
        keys.read_csr(pem, "device.csr")
    assert caught(error) == ("csr-invalid", True)


def test_a_truncated_request() -> None:
    pem = making.make_csr(making.make_key()).encode()
    with pytest.raises(DeviceError) as error:
        keys.read_csr(pem[: len(pem) // 2], "device.csr")
    assert caught(error) == ("csr-invalid", True)


def request_of(size: int) -> bytes:
    """A request of at least this many bytes as PEM."""
    count = size // 70
    names = [x509.NameAttribute(x509.NameOID.COMMON_NAME, "x" * 60) for _ in range(count)]
    builder = x509.CertificateSigningRequestBuilder().subject_name(x509.Name(names))
    return builder.sign(making.make_key(), hashes.SHA256()).public_bytes(
        serialization.Encoding.PEM
    )


def test_a_request_that_is_too_long() -> None:
    """Its own size counts, not that of the file that it stands in."""
    inside = request_of(1000)
    assert keys.read_csr(b"text\n" * 1000 + inside, "device.csr").pem == inside.decode()
    outside = request_of(2000)
    with pytest.raises(DeviceError, match=f"is {len(outside)} bytes") as error:
        keys.read_csr(outside, "device.csr")
    assert caught(error) == ("csr-too-long", True)


@pytest.mark.parametrize("order", [1, -1])
def test_a_key_beside_the_request_is_not_passed_on(order: int) -> None:
    key = making.make_key()
    request = making.make_csr(key)
    both = [making.key_pem(key).decode(), request][::order]
    assert keys.read_csr("".join(both).encode(), "device.csr").pem == request
    assert keys.read_csr(b"\xef\xbb\xbf" + request.encode(), "device.csr").pem == request
    dos = request.replace("\n", "\r\n").encode()
    assert keys.read_csr(dos, "device.csr").pem == request


def test_two_requests() -> None:
    two = making.make_csr(making.make_key()) + making.make_csr(making.make_key())
    with pytest.raises(DeviceError, match="contains 2 certificate signing requests") as error:
        keys.read_csr(two.encode(), "device.csr")
    assert caught(error) == ("csr-invalid", True)


def der(pem: str) -> bytes:
    return base64.b64decode("".join(pem.splitlines()[1:-1]))


def test_what_a_file_holds_instead_is_named_with_the_command_that_converts() -> None:
    key = making.make_key()
    private, csr, leaf = making.key_pem(key).decode(), making.make_csr(key), make_certificate(key)
    public = key.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    locked = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.TraditionalOpenSSL,
        serialization.BestAvailableEncryption(b"secret"),
    )

    def reported(read: Callable[[bytes, str], object], data: bytes) -> str:
        with pytest.raises(DeviceError) as error:
            read(data, "a file")
        return f"{error.value.title} {error.value.remedy}"

    for read, text, tool in (
        (pem_file.certificate, leaf, "x509"),
        (pem_file.private_key, private, "pkey"),
        (pem_file.request, csr, "req"),
    ):
        assert f"openssl {tool} -inform DER -in 'a file'" in reported(read, der(text))
        assert "iconv -f UTF-16" in reported(read, text.encode("utf-16"))
        assert "iconv -f UTF-16" in reported(read, text.encode("utf-16-le"))
        assert "sed 's/" in reported(read, text.replace("\n", "\\n").encode())
    bundle = pkcs12.serialize_key_and_certificates(
        b"device",
        key,
        x509.load_pem_x509_certificate(leaf.encode()),
        None,
        serialization.NoEncryption(),
    )
    assert "openssl pkcs12 -in 'a file' -clcerts" in reported(pem_file.certificate, bundle)
    assert "openssl pkcs12 -in 'a file' -nocerts" in reported(pem_file.private_key, bundle)
    assert "it is a PUBLIC KEY" in reported(pem_file.private_key, public)
    assert "it is a CERTIFICATE" in reported(pem_file.private_key, leaf.encode())
    assert "it is a PRIVATE KEY" in reported(pem_file.certificate, private.encode())
    assert "passphrase" in reported(pem_file.private_key, locked)
    assert "openssl pkey" in reported(pem_file.private_key, locked)


def test_another_name_of_the_same() -> None:
    leaf = make_certificate(making.make_key())
    other = leaf.replace(" CERTIFICATE-", " X509 CERTIFICATE-").encode()
    assert pem_file.certificate(other, "c.crt") == leaf


def test_whatever_an_editor_made_of_the_ends_of_lines_and_all_certificates() -> None:
    one, two = make_certificate(making.make_key()), make_certificate(making.make_key())
    for ends in ("\n", "\r\n", "\r", "\r\r\n", " \n\n  ", " "):
        given = b"\xef\xbb\xbf" + (one + two).replace("\n", ends).encode()
        assert pem_file.certificate(given, "c.crt") == one + two
    assert pem_file.certificate(f"friendlyName: C:\\new\n{one}".encode(), "c.crt") == one


UTF16 = "-----BEGIN CERTIFICATE-----\n".encode("utf-16")
BIG_ENDIAN = "-----BEGIN CERTIFICATE-----\n".encode("utf-16-be")
_CSR = b"-----BEGIN CERTIFICATE REQUEST-----\nMIIB\n-----END CERTIFICATE REQUEST-----\n"
_EC = b"-----BEGIN EC PRIVATE KEY-----\nMIIB\n-----END EC PRIVATE KEY-----\n"
_LOCKED = b"-----BEGIN ENCRYPTED PRIVATE KEY-----\nMIIB\n-----END ENCRYPTED PRIVATE KEY-----\n"
_OLD = _EC.replace(b"MIIB", b"Proc-Type: 4,ENCRYPTED\n\nMIIB")
_PUBLIC = b"-----BEGIN PUBLIC KEY-----\nMIIB\n-----END PUBLIC KEY-----\n"
_SSH = _EC.replace(b" EC ", b" OPENSSH ")
_TRUSTED = b"-----BEGIN TRUSTED CERTIFICATE-----\nMIIB\n-----END TRUSTED CERTIFICATE-----\n"
_PKCS7 = b"-----BEGIN PKCS7-----\nMIIB\n-----END PKCS7-----\n"
_PKCS7_DER = bytes.fromhex("3082024b06092a864886f70d010702")
DAMAGED_KEY = b"-----BEGIN PRIVATE KEY-----\nM\n-----END PRIVATE KEY-----\n"
DAMAGED = b"-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n"


@pytest.mark.parametrize(
    ("read", "data", "code", "title", "remedy"),
    [
        (pem_file.certificate, UTF16, "file-encoding", "it is text in UTF-16", "iconv -f UTF-16"),
        (pem_file.certificate, BIG_ENDIAN, "file-encoding", "it is text in UTF-16", "iconv"),
        (pem_file.certificate, DAMAGED.replace(b"\n", b"\\n"), "file-encoding", "the two characters", "sed 's"),
        (pem_file.certificate, b"\n", "certificate-invalid", "(it is empty)", "Copy the file again"),
        (pem_file.certificate, b"hello", "certificate-invalid", "(it is something else)", "Copy"),
        (pem_file.certificate, b"0 is a digit", "certificate-invalid", "(it is something else)", "Copy"),
        (pem_file.certificate, b"a\0", "certificate-invalid", "(it is something else)", "Copy"),
        (pem_file.certificate, b"0\x82", "certificate-invalid", "(it is something else)", "Copy"),
        (pem_file.certificate, b"MIIBszCC\nAVmg\n", "certificate-invalid", "(it is base64 without -----BEGIN)",
         "| openssl x509 -inform DER"),
        (pem_file.private_key, b"MHcCAQEE", "key-invalid", "(it is base64 without -----BEGIN)",
         "umask 077; base64 -d"),
        (pem_file.request, b"LS0tLS1CRUdJTiBDRVJU", "csr-invalid", "(it is PEM in base64)", "base64 -d"),
        (pem_file.certificate, b"0\x1f", "certificate-invalid", "it looks like DER", "-inform DER"),
        (pem_file.certificate, _EC, "certificate-invalid", "it is an EC PRIVATE KEY", "another file of the set"),
        (pem_file.certificate, _PUBLIC, "certificate-invalid", "it is a PUBLIC KEY", "Name the private key's file"),
        (pem_file.certificate, _LOCKED, "certificate-invalid", "it is an ENCRYPTED PRIVATE KEY", "Name the right file"),
        (pem_file.private_key, b"", "key-invalid", "(it is empty)", "passphrase"),
        (pem_file.private_key, _EC[:40], "key-invalid", "(it is truncated: -----BEGIN", "Copy the file"),
        (pem_file.private_key, _SSH, "key-invalid", "it is an OPENSSH PRIVATE KEY", "umask 077; cp it "),
        (pem_file.certificate, _SSH, "certificate-invalid", "it is an OPENSSH PRIVATE KEY", "Name the right file"),
        (pem_file.certificate, _TRUSTED, "certificate-invalid", "a TRUSTED CERTIFICATE", "openssl x509 -in it"),
        (pem_file.certificate, _PKCS7, "certificate-invalid", "it is a PKCS7", "openssl pkcs7 -print_certs -in it"),
        (pem_file.certificate, _PKCS7_DER, "certificate-invalid", "like DER", "pkcs7 -print_certs -inform DER -in it"),
        (pem_file.private_key, _LOCKED, "key-invalid", "it is encrypted with a passphrase", "openssl pkey -in it"),
        (pem_file.private_key, _OLD, "key-invalid", "it is encrypted with a passphrase", "openssl pkey -in it"),
        (pem_file.private_key, DAMAGED, "key-invalid", "it is a CERTIFICATE", "where a certificate is expected"),
        (pem_file.request, b"", "csr-invalid", "certificate signing request in PEM form (it is empty).", "Make one"),
        (pem_file.request, DAMAGED, "csr-invalid", "in PEM form (it is a CERTIFICATE).", "where a certificate"),
        (keys.read_csr, _CSR, "csr-invalid", "request in PEM form.", "Make one: openssl req"),
        (certificates.read_ca, UTF16, "file-encoding", "it is text in UTF-16", "iconv"),
        (certificates.read_ca, b"", "ca-invalid", "it contains no certificate (it is empty); ", "AmazonRootCA1"),
        (certificates.read_ca, b"0\x1f", "ca-invalid", "no certificate (it looks like DER", "x509 -inform DER -in it"),
        (certificates.read_ca, _TRUSTED, "ca-invalid", "it contains a TRUSTED CERTIFICATE; ", "openssl x509 -in it"),
        (certificates.read_ca, _TRUSTED + DAMAGED, "ca-invalid", "contains a TRUSTED CERTIFICATE; ", "AmazonRootCA1"),
        (certificates.read_ca, DAMAGED + _EC, "ca-invalid", "it contains an EC PRIVATE KEY; ", "AmazonRootCA1"),
        (certificates.read_ca, DAMAGED, "ca-invalid", "Certificate 1 in it cannot be read", "the CA file again"),
    ],
)  # fmt: skip
def test_a_file_that_is_something_else_says_what_it_is_and_what_to_type(
    read: Callable[[bytes, str], object], data: bytes, code: str, title: str, remedy: str
) -> None:
    with pytest.raises(DeviceError) as error:
        read(data, "it")
    assert error.value.code == code
    assert title in error.value.title
    assert "it" in error.value.title.split()
    assert remedy in error.value.remedy


@pytest.mark.parametrize(
    "read",
    [
        lambda text: certificates.validity(text, "it"),
        lambda text: certificates.chain(text, None, "it"),
        lambda text: certificates.public_key_of_certificate(text, "it"),
    ],
)
def test_a_certificate_that_is_none_is_named(read: Callable[[str], object]) -> None:
    escaped = DAMAGED.decode().replace("\n", "\\n")
    for text, code in ((DAMAGED.decode(), "certificate-invalid"), (escaped, "file-encoding")):
        with pytest.raises(DeviceError, match=r"^it ") as error:
            read(text)
        assert error.value.code == code


def test_a_certificate_on_no_point_of_its_curve_is_worth_nothing() -> None:
    key = making.make_key()
    made = bytearray(der(make_certificate(key)))
    point = key.public_key().public_bytes(
        serialization.Encoding.X962, serialization.PublicFormat.UncompressedPoint
    )
    at = made.index(point)
    made[at + 1 : at + 65] = bytes(64)
    text = "-----BEGIN CERTIFICATE-----\n" + base64.encodebytes(bytes(made)).decode()
    with pytest.raises(DeviceError, match=r"^The certificate in it has no usable") as error:
        certificates.public_key_of_certificate(text + "-----END CERTIFICATE-----\n", "it")
    assert caught(error) == ("certificate-invalid", True)


def test_a_key_that_is_damaged_says_nothing_of_what_it_holds() -> None:
    with pytest.raises(
        DeviceError, match=r"k\.key contains no readable( PEM)? private key"
    ) as error:
        keys.public_key_of_key(Secret(DAMAGED_KEY.decode()), "k.key")
    assert caught(error) == ("key-invalid", True)


@pytest.mark.parametrize("name", ["pump-7", None])
def test_what_a_certificate_says_of_itself(name: str | None) -> None:
    key = making.make_key()
    first, last = dt.datetime(2026, 1, 2, tzinfo=dt.UTC), dt.datetime(2036, 1, 2, tzinfo=dt.UTC)
    made = make_certificate(key, name=name or "x", valid_from=first, valid_to=last)
    if name is None:
        builder = x509.CertificateBuilder(
            x509.Name([]), x509.Name([]), key.public_key(), 7, first, last, []
        )
        made = builder.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM).decode()
    both = pair(made, making.key_pem(key).decode())
    leaf = certificates.checked_leaf(both)
    loaded = x509.load_pem_x509_certificate(made.encode())
    assert leaf.certificate_id == loaded.fingerprint(hashes.SHA256()).hex()
    assert leaf.common_name == name
    assert (leaf.dates.not_before, leaf.dates.not_after) == (first.timestamp(), last.timestamp())
    assert certificates.checked_validity(both) == leaf.dates


@pytest.mark.parametrize(
    ("short", "year"), [("491231235959", 2049), ("500101000000", 1950), ("260102030405", 2026)]
)
def test_the_century_of_a_year_of_two_digits(
    monkeypatch: pytest.MonkeyPatch, short: str, year: int
) -> None:
    monkeypatch.setenv("TZ", "America/New_York")
    time.tzset()
    try:
        data = b"\x30\x1e" + 2 * (b"\x17\x0d" + short.encode() + b"Z")
        found = glance(f"-----BEGIN CERTIFICATE-----{base64.b64encode(data).decode()}-----")
    finally:
        monkeypatch.undo()
        time.tzset()
    moment = dt.datetime.strptime(f"{year}{short[2:]}Z", "%Y%m%d%H%M%S%z")
    assert found == Validity(not_before=moment.timestamp(), not_after=moment.timestamp())


def test_an_rsa_pss_key_is_named(tmp_path: Path) -> None:
    path = tmp_path / "pss.key"
    subprocess.run(
        ["openssl", "genpkey", "-algorithm", "RSA-PSS", "-pkeyopt", "rsa_keygen_bits:2048", "-out", path],
        check=True,
        capture_output=True,
    )  # fmt: skip
    with pytest.raises(DeviceError, match="RSA-PSS") as error:
        pem_file.private_key(path.read_bytes(), str(path))
    assert caught(error) == ("key-invalid", True)
    request = ["openssl", "req", "-new", "-key", str(path), "-subj", "/CN=device"]
    made = subprocess.run(request, check=True, capture_output=True).stdout
    # Debian 12's cryptography cannot read such a request at all.
    is_read = int(cryptography.__version__.split(".")[0]) > 38
    words, code = (
        ("it has an RSA-PSS key", "csr-weak-key")
        if is_read
        else ("it contains no readable certificate signing request", "csr-invalid")
    )
    with pytest.raises(DeviceError, match=words) as error:
        keys.read_csr(made, "it")
    assert caught(error) == (code, True)


def test_a_ca_before_the_certificate_is_told() -> None:
    key = making.make_key()
    both = make_certificate(making.make_key()) + make_certificate(key)
    with pytest.raises(DeviceError, match="is not the first one in") as error:
        certificates.check_pair(pair(both, making.key_pem(key).decode()))
    assert caught(error) == ("key-mismatch", True)


def test_a_ca_file_holds_certificates_only() -> None:
    key = making.make_key()
    one, two = make_certificate(key), make_certificate(making.make_key())
    assert (
        certificates.read_ca(f"# the first\n{one}# the second\n{two}".encode(), "ca.pem")
        == one + two
    )
    for wrong in (one + making.key_pem(key).decode(), "root:x:0:0", ""):
        with pytest.raises(DeviceError, match="a CA file must contain only certificates"):
            certificates.read_ca(wrong.encode(), "ca.pem")


def test_a_request_signed_by_another_key() -> None:
    request = x509.load_pem_x509_csr(making.make_csr(making.make_key()).encode())
    der = bytearray(request.public_bytes(serialization.Encoding.DER))
    at = der.index(b"device")
    der[at : at + 6] = b"DEVICE"
    forged = x509.load_der_x509_csr(bytes(der)).public_bytes(serialization.Encoding.PEM)
    with pytest.raises(DeviceError, match="not signed by its own key") as error:
        keys.read_csr(forged, "device.csr")
    assert caught(error) == ("csr-invalid", True)


@pytest.mark.parametrize("digest", ["md5", "sha1"])
def test_a_request_signed_with_a_broken_hash(tmp_path: Path, digest: str) -> None:
    key = str(tmp_path / "key")
    subprocess.run(["openssl", "genrsa", "-out", key, "2048"], check=True, capture_output=True)
    request = ["openssl", "req", "-new", "-key", key, "-subj", "/CN=device", f"-{digest}"]
    made = subprocess.run(request, check=True, capture_output=True).stdout
    with pytest.raises(DeviceError, match=f"{digest.upper()}.*not secure") as error:
        keys.read_csr(made, "device.csr")
    assert error.value.code == "csr-invalid"
    assert error.value.remedy.startswith("Sign it with SHA-256")


def pair(certificate: str, private_key: str) -> KeyPair:
    return KeyPair(
        certificate=certificate,
        private_key=Secret(private_key),
        certificate_file="c.crt",
        private_key_file="k.key",
    )


def test_a_key_and_its_certificate() -> None:
    key = making.make_key()
    certificates.check_pair(pair(make_certificate(key), making.key_pem(key).decode()))


@pytest.mark.parametrize("kind", ["rsa-1024", "ec-p224", "ec-k256"])
@pytest.mark.parametrize("check", [certificates.checked_leaf, certificates.checked_validity])
def test_a_certificate_whose_key_aws_refuses(
    kind: str, check: Callable[[KeyPair], object]
) -> None:
    key = making.make_key(kind)
    with pytest.raises(DeviceError, match=r"c\.crt has .* AWS IoT accepts") as error:
        check(pair(make_certificate(key), making.key_pem(key).decode()))
    assert caught(error) == ("key-invalid", True)


def test_a_key_that_is_not_the_certificates() -> None:
    other = making.key_pem(making.make_key()).decode()
    with pytest.raises(DeviceError, match=r"k\.key does not belong to .* c\.crt") as error:
        certificates.check_pair(pair(make_certificate(making.make_key()), other))
    assert caught(error) == ("key-mismatch", True)


def test_a_truncated_key_and_what_it_does_not_say() -> None:
    key = making.make_key()
    pem = making.key_pem(key).decode()
    with pytest.raises(
        DeviceError, match=r"k\.key contains no readable( PEM)? private key"
    ) as error:
        certificates.check_pair(pair(make_certificate(key), pem[:90]))
    assert caught(error) == ("key-invalid", True)
    assert error.value.__cause__ is None
    assert pem[40:60] not in str(error.value)


def test_an_encrypted_key() -> None:
    key = making.make_key()
    pem = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.BestAvailableEncryption(b"secret"),
    )
    with pytest.raises(DeviceError, match="encrypted") as error:
        keys.public_key_of_key(Secret(pem.decode()), "k.key")
    assert caught(error) == ("key-invalid", True)


@pytest.mark.parametrize("text", ["", "hello", "-----BEGIN CERTIFICATE-----\nMIIB"])
def test_what_is_no_certificate(text: str) -> None:
    with pytest.raises(DeviceError, match=r"c\.crt contains no readable certificate") as error:
        certificates.public_key_of_certificate(text, "c.crt")
    assert caught(error) == ("certificate-invalid", True)


def test_a_certificates_dates() -> None:
    first = dt.datetime(2026, 1, 2, 3, 4, 5, tzinfo=dt.UTC)
    last = dt.datetime(2036, 1, 2, 3, 4, 5, tzinfo=dt.UTC)
    made = make_certificate(making.make_key(), valid_from=first, valid_to=last)
    dates = certificates.validity(made, "c.crt")
    assert (dates.not_before, dates.not_after) == (first.timestamp(), last.timestamp())


def test_parameters_hash_the_same_in_any_order() -> None:
    assert keys.hash_parameters({"a": "1", "b": "2"}) == keys.hash_parameters({"b": "2", "a": "1"})
    assert keys.hash_parameters({"a": "1"}) != keys.hash_parameters({"a": "2"})
    assert keys.hash_parameters({}) == hash_of("{}")


def hash_of(text: str) -> str:
    digest = hashes.Hash(hashes.SHA256())
    digest.update(text.encode())
    return digest.finalize().hex()


@pytest.mark.parametrize("show", [repr, str, "{}".format, "{0!r}".format, ascii])
def test_a_secret_says_nothing(show: Callable[[object], str]) -> None:
    assert "hush" not in show(Secret("hush"))
    assert "hush" not in show([{"key": Secret("hush")}])


def test_a_secret_inside_a_value_says_nothing() -> None:
    assert "hush" not in repr(pair("c", "hush"))


def test_secrets_compare_by_what_they_hold() -> None:
    assert Secret("a") == Secret("a")
    assert Secret("a") != Secret("b")
    assert Secret("a") != "a"
    assert len({Secret("a"), Secret("a"), Secret("b")}) == 2


def test_a_chain_in_any_order_begins_with_our_own() -> None:
    mine, ca = making.make_key(), making.make_key()
    public = keys.public_key_of_key(Secret(making.key_pem(mine).decode()), "key")
    leaf = make_certificate(ca, name="device", public_key=mine.public_key())
    issuers = [make_certificate(ca, name="issuing"), make_certificate(ca, name="root")]
    for given in ([leaf, *issuers], [*issuers, leaf], [issuers[0], leaf, issuers[1]]):
        chain = certificates.chain("beside it\n" + "".join(given), public, "the answer")
        assert chain == "".join([leaf, *issuers])
        assert "beside" not in chain
    with pytest.raises(DeviceError):
        certificates.chain(leaf + leaf.replace("MII", "!!!"), public, "the answer")
    with pytest.raises(DeviceError):
        certificates.chain("", public, "the answer")
