"""The vendor when the device has nothing left to look for a cause with."""

import threading
from pathlib import Path

import pytest

from fleet_agent.clock import SystemClock
from fleet_agent.config.credentials import Credentials, RoleAlias
from fleet_agent.config.settings import Settings
from fleet_agent.credentials.model import KeyPair, Secret
from fleet_agent.errors import AgentError
from fleet_agent.health.status import Health
from fleet_agent.process.log import Moment
from fleet_agent.process.mailbox import Mailbox, Ready
from fleet_agent.session import probe
from fleet_agent.session.route import Route
from fleet_agent.vending.alias import Result
from fleet_agent.vending.cache import CredentialsCache, _Attempt
from unit.orders.device import credential

WANTED = Credentials(endpoint="c.example.com", aliases={"logs": RoleAlias()})
ROUTE = Route(host="localhost", port=1, ca_file=None, proxy=None)
PAIR = KeyPair(certificate="", private_key=Secret(""), certificate_file="", private_key_file="")


@pytest.mark.parametrize("has_thread", [True, False])
def test_who_waits_hears_of_it_whatever_becomes_of_the_look(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    *,
    has_thread: bool,
) -> None:
    """Else the alias waited for that end for ever, or the agent ended."""

    def fail(*_: object) -> None:
        raise RuntimeError("no thread, no memory")

    if has_thread:
        monkeypatch.setattr(probe, "first_failure", fail)
    else:
        monkeypatch.setattr(threading.Thread, "start", fail)
    clock = SystemClock()
    mailbox = Mailbox(clock)
    settings = Settings(endpoint="e", credentials=WANTED)
    cache = CredentialsCache(
        settings, WANTED, lambda: (credential(), PAIR), mailbox, clock, Health(tmp_path, clock)
    )
    alias = cache._aliases["logs"]
    alias.is_asking, alias.attempt = True, 1
    heard: list[Result] = []
    alias.waiters.append(heard.append)
    attempt = _Attempt(alias=alias, number=1, credential=credential(), pair=PAIR, route=ROUTE)
    cache._diagnose(attempt, "silence")
    if has_thread:
        event = mailbox.wait(clock.monotonic() + 20)
        assert isinstance(event, Ready)
        event.act()
    (outcome,) = heard
    assert isinstance(outcome, AgentError)
    assert outcome.code == "credentials-unanswered"
    assert not alias.is_asking
    line = caplog.records[-1]
    assert "role alias logs: No answer" in line.getMessage()
    assert vars(line)["journal"] == {
        "MESSAGE_ID": Moment.PROBLEM.value,
        "FLEET_AGENT_PROBLEM": "credentials-failed",
    }
