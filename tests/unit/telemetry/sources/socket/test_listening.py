"""The socket itself: whose it is, who may send, and what is in its place."""

import os
import socket
from pathlib import Path

import pytest

from fleet_agent.config.readings import Allow, SocketSource
from fleet_agent.local_clients import unix_listener
from fleet_agent.telemetry.sources import packet
from fleet_agent.telemetry.sources.allow_list import AllowList
from fleet_agent.telemetry.sources.socket import Socket
from support.programs import EVERYBODY, Program, begin
from support.sources import Bench


def test_the_allow_list_goes_by_user_id(bench: Bench) -> None:
    allow = [
        Allow(user=str(os.getuid()), topics=("dt/{thing}/a", "dt/{thing}/b/+")),
        Allow(user="12345", topics=("#",)),
    ]
    begin(bench, allow)
    program = Program(bench)
    assert program.ask({"topic": "dt/pump-7/a", "payload": 1})["ok"]
    assert program.ask({"topic": "dt/pump-7/b/c", "payload": 1})["ok"]
    reported = program.ask({"topic": "dt/pump-7/c", "payload": 1, "id": 0})
    assert (reported["error"]["code"], reported["id"]) == ("not-allowed", 0)
    assert f'{{user: {os.getuid()}, topics: ["dt/pump-7/c"]}}' in reported["error"]["remedy"]
    assert program.ask({"payload": 1})["error"]["code"] == "not-allowed"


def test_a_hidden_or_unknown_user_is_a_problem_and_others_may_send(
    bench: Bench, tmp_path: Path
) -> None:
    map_file = tmp_path / "uid_map"
    map_file.write_text("         0          0          1\n       998        998          1\n")
    allow = [Allow(user="no-such-user", topics=("#",)), Allow(user="12345", topics=("#",))]
    found = AllowList(allow, str, str, map_file)
    assert found.problems == [
        "there is no user no-such-user",
        "the unit's PrivateUsers=yes hides who the sender is",
    ]
    assert AllowList(EVERYBODY, str, str, map_file).problems == []
    begin(bench, [*allow, *EVERYBODY])
    assert bench.problems()["source-failed socket"].endswith(": there is no user no-such-user.")
    assert Program(bench).ask({"payload": 1})["ok"]


def test_the_socket_is_open_to_owner_and_group_and_removed_with_the_agent(bench: Bench) -> None:
    source = begin(bench)
    found = source.path.stat()
    assert (found.st_mode & 0o777, found.st_gid) == (0o660, os.getgid())
    source.close()
    # It stays for a new image of the process; who connects waits there.
    assert source.path.exists()
    bench.listeners.close()
    assert not source.path.exists()


def test_the_socket_is_given_to_the_configured_group(bench: Bench) -> None:
    group = next((number for number in os.getgroups() if number != os.getgid()), 12345)
    if os.getuid() != 0 and group == 12345:
        pytest.skip("this user has one group")
    assert begin(bench, group=str(group)).path.stat().st_gid == group
    assert bench.problems() == {}


def test_a_group_that_does_not_exist_is_a_problem_and_the_socket_works(bench: Bench) -> None:
    begin(bench, group="no-such-group")
    assert "there is no group no-such-group" in bench.problems()["source-failed socket"]
    assert Program(bench).ask({"payload": 1})["ok"]


def test_a_socket_left_by_a_killed_agent_is_replaced(bench: Bench) -> None:
    left = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    left.bind(str(bench.runtime_dir / packet.NAME))
    left.close()
    begin(bench)
    assert Program(bench).ask({"payload": 1})["ok"]


def test_a_file_in_place_of_the_socket_is_a_problem_until_it_is_removed(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(unix_listener, "RETRY", 0.05)
    path = bench.runtime_dir / packet.NAME
    path.write_text("mine")
    bench.sources = [
        Socket(
            SocketSource(),
            bench.feed("socket"),
            bench.mailbox,
            bench.socket,
            bench.listeners,
            AllowList((), str, str),
        )
    ]
    bench.turn(bench.problems)
    assert "cannot listen" in bench.problems()["source-failed socket"]
    path.unlink()
    bench.turn(path.is_socket)
    bench.turn(lambda: not bench.problems())
