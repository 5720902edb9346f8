"""Which proxy it is: the configuration's, the environment's, or none."""

from pathlib import Path

import pytest

from fleet_agent.config.settings import Settings
from fleet_agent.errors import DeviceError
from fleet_agent.session.route import route

HOST = "a1b2-ats.iot.eu-west-1.amazonaws.com"
PROXY = "http://proxy.example.com:3128"


def proxy_of(environment: dict[str, str], endpoint: str = HOST, **settings: str) -> str | None:
    return route(Settings(endpoint=endpoint, **settings), environment).proxy  # type: ignore[arg-type]


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
    ],
)
def test_no_proxy(entry: str, host: str, is_direct: bool) -> None:
    environment = {"https_proxy": PROXY, "no_proxy": entry}
    assert (proxy_of(environment, host) is None) == is_direct


@pytest.mark.parametrize(
    "text", ["socks5://p:1", "https://p:1", "http://", "http://p:x", "http://["]
)
def test_no_http_proxy(text: str) -> None:
    with pytest.raises(DeviceError) as caught:
        proxy_of({"all_proxy": text})
    assert caught.value.code == "proxy-kind"


@pytest.mark.parametrize(
    "text", ["http://me:12/geheim@p:1", "http://me:12#geheim@p:1", "me:12?geheim@p:1"]
)
def test_a_password_that_takes_the_address_apart_is_refused_and_not_shown(text: str) -> None:
    """Its first half would be taken for the proxy's port, and logged."""
    with pytest.raises(DeviceError, match="must be written as %XX") as caught:
        proxy_of({"https_proxy": text})
    assert "geheim" not in f"{caught.value.title}{caught.value.remedy}"
    assert "12" not in caught.value.title


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
    for rubbish in ("otto", ":x", "a:b\nc:d"):
        file.write_text(rubbish)
        with pytest.raises(DeviceError):
            proxy_of({}, proxy=PROXY, proxy_credentials=str(file))
