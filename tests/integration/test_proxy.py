"""The way out through tinyproxy, through proxies that lie, and through port 443."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from support.agent import Agent, run_command
from support.certificates import make_pair
from support.fleets import Fleet
from support.proxy import PASSWORD, USER, Front, LyingProxy, Tinyproxy
from support.tls import tls_server

OK = b"HTTP/1.1 200 Connection established\r\n\r\n"


@pytest.fixture
def agent(fleet: Fleet, tmp_path: Path) -> Agent:
    """A device of the fleet."""
    return Agent(fleet, tmp_path)


def configured(agent: Agent, **sections: object) -> Path:
    """A configuration of that device."""
    return agent.configuration(agent.folder / "config.yaml", **sections)


def provision(config: Path, *more: str, **environment: str) -> tuple[int, str]:
    """The exit status and the error's code."""
    words: tuple[str | Path, ...] = ("provision", "--json", "--config", config, "--allow-volatile")
    done = run_command(*words, *more, env=environment)
    return done.status, done.error["code"] if done.status else done.stderr


def test_through_a_proxy_from_the_configuration(agent: Agent, tmp_path: Path) -> None:
    port = agent.fleet.sandbox.mqtt_port
    with Tinyproxy(tmp_path, port) as proxy:
        config = configured(agent, proxy=proxy.url)
        assert provision(config)[0] == 0
        assert set(proxy.connects()) == {f"localhost:{port}"}
        before = len(proxy.connects())
        with agent.running(config=config) as daemon:
            daemon.wait_connected()
            assert daemon.end() == 0
        assert len(proxy.connects()) == before + 1


def test_a_proxy_that_wants_a_password(agent: Agent, tmp_path: Path) -> None:
    file = tmp_path / "proxy-credentials"
    with Tinyproxy(tmp_path, agent.fleet.sandbox.mqtt_port, has_password=True) as proxy:
        assert provision(configured(agent, proxy=proxy.url)) == (69, "proxy-password")
        config = configured(agent, proxy=proxy.url, proxy_credentials=str(file))
        assert provision(config) == (78, "proxy-credentials")
        file.write_text(f"{USER}:wrong\n")
        assert provision(config) == (69, "proxy-password")
        file.write_text(f"{USER}:{PASSWORD}\n")
        status, reported = provision(config)
        assert (status, PASSWORD in reported) == (0, False)


def test_through_the_environments_proxy(agent: Agent, tmp_path: Path) -> None:
    config = configured(agent)
    dead = "http://127.0.0.1:1"
    assert provision(config, "--timeout", "4", https_proxy=dead) == (69, "proxy-unreachable")
    assert provision(config, ALL_PROXY="socks5://127.0.0.1:1") == (78, "proxy-kind")
    with Tinyproxy(tmp_path, agent.fleet.sandbox.mqtt_port, has_password=True) as proxy:
        url = proxy.url.replace("//", f"//{USER}:p%2Dword.41@")
        assert provision(config, HTTPS_PROXY=url)[0] == 0
        assert proxy.connects()
    with agent.running(
        config=config, env={"https_proxy": dead, "no_proxy": "x, .localhost"}
    ) as daemon:
        daemon.wait_connected()
        assert daemon.end() == 0


@pytest.mark.slow
def test_proxies_that_do_not_let_through_are_named(fleet: Fleet, tmp_path: Path) -> None:
    """All at once: they wait most of the time."""
    other = make_pair(tmp_path / "other", name="localhost")

    def outcome(name: str, url: str) -> tuple[int, str]:
        (tmp_path / name).mkdir()
        agent = Agent(fleet, tmp_path / name)
        return provision(configured(agent, proxy=url), "--timeout", "12")

    with (
        tls_server(other) as elsewhere,
        Tinyproxy(tmp_path, 443) as refusing,
        LyingProxy(OK, elsewhere) as inspecting,
        LyingProxy(OK + b"HTTP/1.1 400 Bad Request\r\n\r\n<html>") as portal,
        LyingProxy(b"SSH-2.0-OpenSSH_9.2\r\n") as ssh,
        LyingProxy(b"HTTP/1.1 503 Service Unavailable\r\n\r\n") as broken,
        LyingProxy(b"") as silent,
        ThreadPoolExecutor(4) as pool,
    ):
        cases = {
            "refusing": (refusing.url, (69, "proxy-refused")),
            "inspecting": (inspecting.url, (69, "proxy-tls-broken")),
            "portal": (portal.url, (69, "proxy-tls-broken")),
            "ssh": (ssh.url, (69, "proxy-answer-invalid")),
            "broken": (broken.url, (69, "proxy-endpoint-unreachable")),
            "silent": (silent.url, (69, "proxy-silent")),
            "unknown": ("http://proxy.invalid:3128", (69, "proxy-unknown")),
        }
        found = dict(
            zip(cases, pool.map(outcome, cases, (url for url, _ in cases.values())), strict=True)
        )
    assert found == {name: expected for name, (_, expected) in cases.items()}


@pytest.fixture
def front(fleet: Fleet) -> Iterator[Front]:
    """Port 443 of this machine leads to the sandbox."""
    try:
        front = Front(443, fleet.sandbox.mqtt_port)
    except OSError as error:
        pytest.skip(f"port 443 cannot be had here: {error}")
    with front:
        yield front


def test_port_443_asks_by_alpn(agent: Agent, front: Front, tmp_path: Path) -> None:
    done = agent.provision(port=443)
    assert done.status == 0, done.stderr
    # Where localhost is ::1 too, the SDK tries both addresses, and says nothing on the connection that came second.
    assert b"\x0ex-amzn-mqtt-ca" in [hello for hello in front.hellos if hello][-1]
    # By an IPv6 address, straight and through a proxy.
    (tmp_path / "six").mkdir()
    six = Agent(agent.fleet, tmp_path / "six")
    assert provision(configured(six, endpoint="::1", port=443))[0] == 0
    with (
        Tinyproxy(tmp_path, 443) as proxy,
        six.running(config=configured(six, endpoint="::1", port=443, proxy=proxy.url)) as daemon,
    ):
        daemon.wait_connected()
        assert daemon.end() == 0
        assert proxy.connects()[-1] == "::1:443"  # as the SDK writes it
