"""What orders need root for, on a booted device: asked by the agent's user alone, done by root's programs alone."""

import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from boot import packages, roots
from boot.machine import Machine, new
from boot.network import Network
from support.agent import until
from support.fleets import Fleet

SOCKET = "/run/fleet-agent-helper.sock"
EXAMPLES = "usr/share/fleet-agent/helpers.d"
HELPERS = "etc/fleet-agent/helpers.d"

ASK = f"""
import json, socket, sys
client = socket.socket(socket.AF_UNIX)
client.settimeout(50)
client.connect({SOCKET!r})
asked = b"x" * 200_000 if sys.argv[1] == "--long" else sys.argv[1].encode()
try:
    client.sendall(asked + b"\\n")
    if "--gone" in sys.argv:
        client.recv(100)
        sys.exit()
except BrokenPipeError:
    pass
sys.stdout.write(client.makefile().read())
"""


_orders = count(1)


def request(name: str, *arguments: str, timeout: float = 20, order: str | None = None) -> str:
    order = f"order-{next(_orders)}" if order is None else order
    return json.dumps({"name": name, "arguments": arguments, "order": order, "timeout": timeout})


class Helper:
    """A booted device whose helper is on; programs are put into its folder."""

    def __init__(self, machine: Machine) -> None:
        self.machine = machine

    def ask(self, *words: str, user: str = "_fleet-agent") -> list[dict[str, Any]]:
        """Sends a request as somebody; gives the lines of the answer."""
        said = self.attempt(*words, user=user)
        assert said.returncode == 0, said.stderr
        return [json.loads(line) for line in said.stdout.splitlines()]

    def attempt(
        self, *words: str, user: str = "_fleet-agent"
    ) -> "subprocess.CompletedProcess[str]":
        asking = ("runuser", "-u", user, "--", "python3", "/usr/local/bin/ask")
        return self.machine.attempt(*asking, *words)

    def run(self, name: str, *arguments: str, timeout: float = 20) -> dict[str, Any]:
        """Has a program run for an order of its own; gives its outcome."""
        return self.ask(request(name, *arguments, timeout=timeout))[-1]

    def result(self, order: str) -> dict[str, Any]:
        (answer,) = self.ask(json.dumps({"result": order}))
        return answer

    def cancel(self, order: str) -> dict[str, Any]:
        (answer,) = self.ask(json.dumps({"cancel": order}))
        return answer

    def program(self, name: str, text: str, mode: int = 0o755, profile: str | None = None) -> None:
        self.machine.write(f"{HELPERS}/{name}", text, mode)
        if profile is not None:
            self.machine.write(f"{HELPERS}/{name}.profile", profile)

    def example(self, name: str, allow: str | None = None) -> None:
        """Copies one of the package's programs, as root does."""
        for path in (self.machine.root / EXAMPLES).glob(f"{name}*"):
            shutil.copy(path, self.machine.root / HELPERS / path.name)
        if allow is not None:
            self.machine.write(f"{HELPERS}/{name}.allow", allow)


@pytest.fixture(scope="module")
def helper(
    installed: Path, wire: Network, fleet: Fleet, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Helper]:
    folder = tmp_path_factory.mktemp("helper")
    machine = new(folder, installed, wire, fleet, f"helper{os.getpid()}")
    machine.write("usr/local/bin/ask", ASK, 0o755)
    with machine.booted():
        until(
            lambda: machine.attempt("systemctl", "is-active", "multi-user.target").returncode == 0,
            "booted",
        )
        assert machine.attempt("test", "-e", SOCKET).returncode != 0  # off as it comes
        machine.run("systemctl", "enable", "--now", "fleet-agent-helper.socket")
        yield Helper(machine)
    roots.unmount(machine.root)
    shutil.rmtree(folder, ignore_errors=True)


def test_a_program_gets_its_arguments_as_they_are_and_says_how_it_ended(helper: Helper) -> None:
    helper.program("show", '#!/bin/sh\nprintf "<%s>" "$@"\nprintf "%s\\n" oops >&2\nexit 3\n')
    words = [
        "a b",
        "$HOME ${PATH} $$",
        "%n %%",
        "",
        "-x",
        "'\";|&`id`",
        "a\nb\tc",
        "\u00fc\u2713",
        "\\x41",
    ]
    begun, outcome = helper.ask(request("show", *words, order="shown"))
    assert begun == {"started": True}
    assert outcome["stdout"] == "".join(f"<{word}>" for word in words)
    assert outcome == {
        "outcome": "failed",
        "status": 3,
        "reason": "status 3",
        "stdout": outcome["stdout"],
        "stderr": "oops\n",
    }
    assert helper.result("shown") == outcome
    assert helper.result("unheard-of") == {"outcome": "unknown"}
    units = helper.machine.run(
        "systemctl", "list-units", "--all", "--plain", "fleet-agent-helper-*"
    )
    assert "-show-" not in units


def test_an_order_runs_once_however_often_it_is_given(helper: Helper) -> None:
    helper.program(
        "count", "#!/bin/sh\necho x >>/tmp/count\nsleep 1\nwc -l </tmp/count\n", profile="# open\n"
    )
    asked = request("count")
    helper.attempt(asked, "--gone")  # begun; who asked does not wait
    assert helper.ask(asked) == [{"outcome": "running"}]  # nothing is started again
    until(lambda: helper.ask(asked)[0]["outcome"] != "running", "its end")
    (answer,) = helper.ask(asked)
    assert (answer["outcome"], answer["stdout"]) == ("done", "1\n")


def test_what_hangs_floods_or_hides_is_ended_in_time(helper: Helper) -> None:
    helper.program(
        "hang", "#!/bin/sh\ntrap '' TERM\n(sleep 1000) &\necho begun\nwhile :; do sleep 1; done\n"
    )
    outcome = helper.run("hang", timeout=1)
    assert (outcome["outcome"], outcome["stdout"]) == ("timed-out", "begun\n")
    assert not helper.machine.is_running("sleep 1000")
    helper.program("flood", "#!/bin/sh\nhead -c 20000000 /dev/zero | tr '\\0' x\necho end\n")
    outcome = helper.run("flood")
    assert outcome["outcome"] == "done"
    assert len(outcome["stdout"]) == 4096
    assert outcome["stdout"].endswith("xend\n")
    # What it leaves behind holds the streams open, and ends with the unit.
    helper.program("leave", "#!/bin/sh\nsetsid sleep 1001 &\necho gone\n")
    assert helper.run("leave")["stdout"] == "gone\n"
    assert not helper.machine.is_running("sleep 1001")
    # It ends itself by a signal: no status.
    helper.program("killed", "#!/bin/sh\nkill -9 $$\n")
    outcome = helper.run("killed")
    assert (outcome["outcome"], outcome["status"]) == ("failed", None)
    assert "signal" in outcome["reason"]
    helper.program("noexec", "#!/no/such/interpreter\n")
    assert helper.run("noexec")["outcome"] == "failed"


def test_what_is_canceled_is_ended_with_all_that_it_started(helper: Helper) -> None:
    helper.program("hang", "#!/bin/sh\n(sleep 1003) &\nexec sleep 1003\n")
    asked = request("hang", timeout=100, order="unwanted")
    helper.attempt(asked, "--gone")
    helper.program("other", "#!/bin/sh\nexec sleep 1007\n")
    helper.attempt(request("other", timeout=100, order="wanted"), "--gone")
    until(lambda: helper.machine.is_running("sleep 1003"), "it runs")
    canceled = helper.cancel("unwanted")
    assert (canceled["outcome"], canceled["status"]) == ("canceled", None)
    assert not helper.machine.is_running("sleep 1003")
    assert helper.result("unwanted") == helper.cancel("unwanted") == canceled
    assert helper.ask(asked) == [canceled]
    # Another order's program is not meant.
    assert helper.result("wanted") == {"outcome": "running"}
    assert helper.machine.is_running("sleep 1007")
    helper.cancel("wanted")
    # What is asked for behind its cancellation is not begun.
    assert helper.cancel("early")["outcome"] == "canceled"
    assert helper.ask(request("hang", order="early"))[0]["outcome"] == "canceled"
    # What had ended stays as it is.
    helper.program("show", "#!/bin/sh\necho here\n")
    (_, done) = helper.ask(request("show", order="over"))
    assert helper.cancel("over") == done
    assert "-hang-" not in helper.machine.run("systemctl", "list-units", "--all", "--plain")


@pytest.mark.thorough
def test_a_cancellation_and_the_request_at_once_leave_nothing_running(helper: Helper) -> None:
    helper.program("slow", "#!/bin/sh\nexec sleep 1004\n")
    both = [
        (f"{words}&" for words in (
            f"python3 /usr/local/bin/ask '{request('slow', timeout=100, order=f'race-{number}')}' --gone",
            f"python3 /usr/local/bin/ask '{json.dumps({'cancel': f'race-{number}'})}'",
        ))
        for number in range(3)
    ]  # fmt: skip
    lines = "\n".join(line for pair in both for line in pair)
    helper.machine.run("runuser", "-u", "_fleet-agent", "--", "sh", "-c", f"{lines}\nwait")
    until(lambda: not helper.machine.is_running("sleep 1004"), "all have ended")
    assert {helper.result(f"race-{number}")["outcome"] for number in range(3)} == {"canceled"}


def test_what_may_be_secret_stands_in_no_command_line(helper: Helper) -> None:
    secret = "https://x.example/?X-Amz-Signature=s3cret"
    reading = "#!/bin/sh\ntr '\\0' '\\n'\nexec sleep 1005\n"
    helper.program("quiet", reading, profile="X-Arguments=stdin\n")
    helper.attempt(request("quiet", secret, "b\n c", "", timeout=100, order="quiet"), "--gone")
    until(lambda: helper.machine.is_running("sleep 1005"), "it runs")
    assert not helper.machine.is_running("s3cret")
    shown = helper.machine.run("systemctl", "show", "fleet-agent-helper-*")
    assert "/quiet" in shown
    assert "s3cret" not in shown
    assert helper.cancel("quiet")["outcome"] == "canceled"
    helper.program("quiet", "#!/bin/sh\ntr '\\0' '|'\n", profile="X-Arguments=stdin\n")
    assert helper.run("quiet", secret, "b\n c", "")["stdout"] == f"{secret}|b\n c||"
    assert "s3cret" not in helper.machine.run("journalctl", "--no-pager")


def test_lies_and_tricks_start_nothing(helper: Helper) -> None:
    root, run = helper.machine.root / HELPERS, helper.machine.run
    mark = "#!/bin/sh\ntouch /run/was-started\n"
    helper.program("target", mark)
    (root / "link").symlink_to("target")
    helper.program("foreign", mark)
    run("chown", "_fleet-agent", f"/{HELPERS}/foreign")
    names = ("link", "foreign", "missing", "../helpers.d/target")
    tricks = [*(request(name) for name in names), "{", "[" * 60000]
    for asked in tricks:
        (line,) = helper.ask(asked)
        assert line["outcome"] == "refused", (asked, line)
    (line,) = helper.ask("--long")
    assert "longer" in line["reason"]
    run("chmod", "o+w", "/etc/fleet-agent")
    assert helper.run("target")["outcome"] == "refused"
    run("chmod", "o-w", "/etc/fleet-agent")
    assert helper.machine.attempt("test", "-e", "/run/was-started").returncode == 1


def test_nobody_else_is_heard(helper: Helper) -> None:
    helper.program("show", "#!/bin/sh\ntouch /run/was-started\n")
    asked = request("show")
    said = helper.attempt(asked, user="nobody")
    assert "PermissionError" in said.stderr
    # Let in by whoever loosened the socket, and by root: not answered.
    helper.machine.run("chmod", "666", SOCKET)
    for user in ("nobody", "root"):
        said = helper.attempt(asked, user=user)
        assert said.stdout == ""
        assert "Connection" in said.stderr or said.returncode == 0
    assert helper.machine.attempt("test", "-e", "/run/was-started").returncode == 1
    helper.machine.run("chmod", "600", SOCKET)


def test_connections_that_say_nothing_are_bounded_and_go(helper: Helper) -> None:
    helper.program("show", "#!/bin/sh\necho here\n")
    helper.machine.write("usr/local/bin/hold", HOLD, 0o755)
    held = helper.machine.run(
        "runuser", "-u", "_fleet-agent", "--", "python3", "/usr/local/bin/hold"
    )
    refused, most = map(int, held.split())
    assert refused >= 30  # of 40, closed at once
    assert most <= 8
    until(lambda: helper.attempt('{"result": "o"}').stdout != "", "a free place", 15)
    assert helper.run("show")["stdout"] == "here\n"


HOLD = f"""
import select, socket, subprocess, time
clients = []
for _ in range(40):
    clients.append(socket.socket(socket.AF_UNIX))
    clients[-1].connect({SOCKET!r})
time.sleep(2)
units = subprocess.run(["systemctl", "list-units", "--plain", "--no-legend", "fleet-agent-helper@*"],
                       capture_output=True, text=True).stdout
closed = select.select(clients, [], [], 0)[0]
print(len(closed), len(units.splitlines()))
"""


def test_a_program_is_not_in_the_listeners_sandbox_but_in_its_own(helper: Helper) -> None:
    write = "#!/bin/sh\necho x >/etc/was-written && cat /proc/self/status | grep ^CapBnd\n"
    helper.program("strict", write)
    helper.program("open", write, profile="# whatever root may\n")
    outcome = helper.run("strict")
    assert outcome["outcome"] == "failed"
    assert "Read-only" in outcome["stderr"]
    outcome = helper.run("open")
    assert outcome["outcome"] == "done"
    assert int(outcome["stdout"].split()[1], 16) != 0


def test_the_order_that_restarts_the_machine_is_done_afterwards(helper: Helper) -> None:
    helper.example("reboot")
    helper.program("slow", "#!/bin/sh\nsleep 100\n")
    helper.attempt(request("slow", timeout=100, order="slow"), "--gone")
    said = helper.attempt(request("reboot", timeout=60, order="boot"))
    assert "outcome" not in said.stdout
    helper.machine.wait_restart()
    until(lambda: helper.attempt('{"result": "x"}').returncode == 0, "the socket is back", 60)
    assert helper.result("boot") == {
        "outcome": "done", "status": 0, "reason": "the machine has restarted", "stdout": "", "stderr": "",
    }  # fmt: skip
    slow = helper.result("slow")
    assert (slow["outcome"], slow["reason"]) == ("failed", "the machine went down while it ran")


def test_a_helper_that_is_killed_leaves_nothing_running(helper: Helper) -> None:
    helper.program("slow", "#!/bin/sh\nsleep 1002\n")
    asked = request("slow", timeout=100, order="killed")
    helper.attempt(asked, "--gone")
    helper.machine.run("systemctl", "kill", "--signal=KILL", "fleet-agent-helper@*")
    outcome = helper.result("killed")
    assert (outcome["outcome"], outcome["reason"]) == ("failed", "it was ended with the helper")
    assert not helper.machine.is_running("sleep 1002")
    assert helper.ask(asked) == [outcome]


def test_a_service_of_the_list_is_restarted(helper: Helper) -> None:
    helper.machine.write("etc/systemd/system/mine.service", "[Service]\nExecStart=/bin/sleep 1d\n")
    helper.machine.run("systemctl", "daemon-reload")
    helper.machine.run("systemctl", "start", "mine")
    helper.example("restart-service", "mine.service\n")
    before = helper.machine.run("systemctl", "show", "-PMainPID", "mine")
    assert helper.run("restart-service", "mine")["outcome"] == "done"
    assert helper.machine.run("systemctl", "show", "-PMainPID", "mine") != before
    for wrong in ("dbus", "--force", "mine dbus", "*", ""):
        outcome = helper.run("restart-service", wrong)
        assert outcome["outcome"] == "failed", wrong
        assert outcome["stderr"], wrong


def test_a_package_is_installed_from_a_repository_and_removed(
    helper: Helper, tmp_path: Path
) -> None:
    machine = helper.machine
    packages.publish(machine.root, tmp_path, "greeting", "other")
    helper.example("install-package", "greeting\n")
    outcome = helper.run("install-package", "greeting", timeout=50)
    assert outcome["outcome"] == "done", outcome
    assert machine.run("greeting") == "hello\n"
    for wrong in (
        "other",
        "greeting=1.2",
        "greeting-",
        "-y",
        "./greeting.deb",
        "greeting other",
        "",
    ):
        outcome = helper.run("install-package", wrong)
        assert outcome["outcome"] == "failed", wrong
    shutil.copy(
        machine.root / HELPERS / "install-package", machine.root / HELPERS / "remove-package"
    )
    helper.program(
        "remove-package.profile",
        (machine.root / HELPERS / "install-package.profile").read_text(),
        0o644,
    )
    assert helper.run("remove-package", "greeting", timeout=50)["outcome"] == "done"
    assert machine.attempt("greeting").returncode != 0
