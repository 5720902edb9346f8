"""Which proxy it is: the configuration's, the environment's, or none."""

from pathlib import Path

import pytest

from fleet_agent.config.credentials import Credentials, RoleAlias
from fleet_agent.config.settings import Settings
from fleet_agent.errors import ConfigurationError, DeviceError
from fleet_agent.session.route import ALPN, Route, credentials_route, route, route_to

HOST = "a1b2-ats.iot.eu-west-1.amazonaws.com"
PROXY = "http://proxy.example.com:3128"


def proxy_of(environment: dict[str, str], endpoint: str = HOST, **settings: str) -> str | None:
    return route(Settings(endpoint=endpoint, **settings), environment).proxy  # type: ignore[arg-type]


def test_the_way_is_the_configurations() -> None:
    settings = Settings(endpoint=HOST, port=443, ca_file="/etc/ca.pem")
    assert route(settings, {}) == Route(host=HOST, port=443, ca_file="/etc/ca.pem", proxy=None)
    # Of this process's own environment where none is given.
    assert route(settings).host == HOST


def test_the_way_to_the_credentials_provider_has_its_own_address_and_the_same_proxy() -> None:
    wanted = Credentials(endpoint="c.example", port=8443, aliases={"logs": RoleAlias()})
    settings = Settings(endpoint=HOST, ca_file="/ca.pem", credentials=wanted)
    environment = {"https_proxy": PROXY, "no_proxy": HOST}
    assert credentials_route(settings, environment) == Route(
        host="c.example", port=8443, ca_file="/ca.pem", proxy=PROXY, kind="iot:CredentialProvider"
    )
    with pytest.raises(DeviceError, match="no section `credentials`") as caught:
        credentials_route(Settings(endpoint=HOST), environment)
    assert caught.value.code == "configuration"


def test_the_way_to_another_server(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("https_proxy", PROXY)
    monkeypatch.setenv("no_proxy", "s3.example:80")
    settings = Settings(endpoint=HOST, ca_file="/ca.pem")
    found = route_to(settings, "s3.example", 443)
    assert found == Route(
        host="s3.example", port=443, ca_file="/ca.pem", proxy=PROXY, kind="iot:CredentialProvider"
    )
    plain = route_to(settings, "s3.example", 80, is_plain=True)
    assert (plain.is_plain, plain.port, plain.proxy) == (True, 80, None)


def test_mqtt_on_port_443_is_asked_for_by_alpn_and_nothing_else_is() -> None:
    """AWS's port 443 speaks HTTP to whoever does not ask."""
    settings = Settings(endpoint=HOST, port=443)
    assert route(settings, {}).alpn == ALPN == "x-amzn-mqtt-ca"
    assert route(Settings(endpoint=HOST, port=8883), {}).alpn is None
    assert route_to(settings, HOST, 443).alpn is None
    assert route_to(settings, HOST, 8883).alpn is None


def test_the_configuration_says_it() -> None:
    environment = {"https_proxy": "http://other:1", "no_proxy": "*"}
    assert proxy_of(environment, proxy=PROXY) == PROXY
    assert proxy_of({"https_proxy": "http://other:1"}, proxy="none") is None
    assert proxy_of({}) is None


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        ({"HTTPS_PROXY": PROXY}, PROXY),
        ({"https_proxy": PROXY, "HTTPS_PROXY": "http://other:1"}, PROXY),
        ({"all_proxy": "proxy.example.com:3128/"}, PROXY),
        ({"https_proxy": "", "ALL_PROXY": "http://proxy"}, "http://proxy:80"),
        ({"https_proxy": "http://u:p%40@[::1]:3128"}, "http://u:p%40@[::1]:3128"),
        ({"http_proxy": PROXY}, None),
    ],
)
def test_the_environment_says_it(environment: dict[str, str], expected: str | None) -> None:
    assert proxy_of(environment) == expected


@pytest.mark.parametrize(
    ("entry", "host", "is_direct"),
    [
        ("*", HOST, True),
        (HOST, HOST, True),
        (f"{HOST}:8883", HOST, True),
        (f"{HOST}:443", HOST, False),
        ("x, .Amazonaws.com", HOST, True),
        ("amazonaws.com", HOST, True),
        ("*.amazonaws.com", HOST, True),
        ("naws.com", HOST, False),
        ("10.0.0.0/8", "10.1.2.3", True),
        ("10.0.0.0/8", "11.1.2.3", False),
        ("10.1.2.3", "10.1.2.3", True),
        ("::1", "::1", True),
        ("[::1]:8883", "::1", True),
        ("fd00::/8", "fd00::7", True),
        ("", HOST, False),
        ("x,amazonaws.com", HOST, True),
        ("amazonaws.com", f"{HOST}.", True),
        ("10.9.9.9/8", "10.1.2.3", True),
        ("localhost", "10.1.2.3", False),
    ],
)
def test_no_proxy(entry: str, host: str, is_direct: bool) -> None:
    environment = {"https_proxy": PROXY, "no_proxy": entry}
    assert (proxy_of(environment, host) is None) == is_direct
    environment = {"https_proxy": PROXY, "no_proxy": "", "NO_PROXY": entry}
    assert (proxy_of(environment, host) is None) == is_direct


@pytest.mark.parametrize(
    "text", ["socks5://p:1", "https://p:1", "http://", "http://p:x", "http://["]
)
def test_no_http_proxy(text: str) -> None:
    with pytest.raises(DeviceError) as caught:
        proxy_of({"all_proxy": text})
    assert caught.value.code == "proxy-kind"


@pytest.mark.parametrize(
    "text",
    [
        "http://me:12/geheim@p:1",
        "http://me:12#geheim@p:1",
        "me:12?geheim@p:1",
        "http://me:12/geheim\n@p:1",
        "http://me:12/geheim://@p:1",
    ],
)
def test_a_password_that_takes_the_address_apart_is_refused_and_not_shown(text: str) -> None:
    """Its first half would be taken for the proxy's port, and logged."""
    with pytest.raises(DeviceError, match="must be written as %XX") as caught:
        proxy_of({"https_proxy": text})
    assert "geheim" not in f"{caught.value.title}{caught.value.remedy}"
    assert "12" not in caught.value.title
    assert caught.value.code == "proxy-kind"


def test_user_and_password_of_a_file(tmp_path: Path) -> None:
    file = tmp_path / "proxy"
    file.write_text("otto:p:w@rd/%41\n")
    found = proxy_of({}, proxy=PROXY, proxy_credentials=str(file))
    assert found == "http://otto:p%3Aw%40rd%2F%2541@proxy.example.com:3128"
    chosen = route(Settings(endpoint=HOST, proxy=PROXY, proxy_credentials=str(file)), {})
    assert "w%40rd" not in repr(chosen)
    assert chosen.proxy_address == "proxy.example.com:3128"
    of_environment = proxy_of({"https_proxy": "http://a:b@p:1"}, proxy_credentials=str(file))
    assert of_environment == "http://otto:p%3Aw%40rd%2F%2541@p:1"
    file.write_bytes(b"\xef\xbb\xbf o/to: p X\r\n")
    assert proxy_of({}, proxy=PROXY, proxy_credentials=str(file)) == (
        "http://%20o%2Fto:%20p%20X@proxy.example.com:3128"
    )


def test_the_service_passes_user_and_password(tmp_path: Path) -> None:
    (tmp_path / "proxy").write_text("otto:pw")
    environment = {"CREDENTIALS_DIRECTORY": str(tmp_path)}
    found = proxy_of(environment, proxy=PROXY, proxy_credentials="credential:proxy")
    assert found == "http://otto:pw@proxy.example.com:3128"
    with pytest.raises(ConfigurationError):
        proxy_of({}, proxy=PROXY, proxy_credentials="credential:proxy")


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (None, "cannot be read from {}: No such file or directory."),
        (b"otto:p\xff", "cannot be read from {}: not UTF-8."),
        (b"otto:" + b"p" * 4092, "cannot be read from {}: it is larger than 4096 bytes."),
        (b"otto", "{} does not contain user:password"),
        (b":x", "{} does not contain user:password"),
        (b"a:b\nc:d", "{} does not contain user:password"),
    ],
)
def test_user_and_password_that_cannot_be_read(
    tmp_path: Path, content: bytes | None, words: str
) -> None:
    file = tmp_path / "proxy"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(DeviceError) as caught:
        proxy_of({}, proxy=PROXY, proxy_credentials=str(file))
    assert words.format(file) in caught.value.title
    assert caught.value.code == "proxy-credentials"
    assert "user:password" in caught.value.remedy
    # A traceback would quote the file.
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__ or caught.value.__context__ is None
