"""``fleet-cloud rehearse``: virtual devices with the agent's own code against the sandbox, and nothing left of them."""

import http.client
import http.server
import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from iot_sandbox.launch import Sandbox
from support.aws import aws_client
from support.companion import FleetCloud, answer

NAME = "rehearsed"


@pytest.fixture(scope="module")
def fleet(fleet_cloud: FleetCloud) -> Iterator[str]:
    """A fleet without a hook, whose first calls take a busy machine longer than AWS waits; its name."""
    fleet_cloud("up", "--no-hook", "--name", NAME)
    yield NAME
    fleet_cloud("down", "--yes", "--name", NAME)


def left(sandbox: Sandbox) -> tuple[list[str], int]:
    """Gives the fleet's things, and how many certificates the account has."""
    iot = aws_client(sandbox, "iot")
    things = [thing["thingName"] for thing in iot.list_things()["things"]]
    certificates = iot.list_certificates(pageSize=250)["certificates"]
    return [name for name in things if name.startswith(f"{NAME}-")], len(certificates)


def test_all_devices_come_by_their_own_sessions_and_everything_is_taken_away(
    fleet_cloud: FleetCloud, fleet: str, sandbox: Sandbox, tmp_path: Path
) -> None:
    before, out = left(sandbox), tmp_path / "out"
    sandbox.faults.clear_calls()
    words = ("rehearse", "--devices", "12", "--spread", "2s", "--name", fleet, "--json")
    done = fleet_cloud(*words, "--ca-file", sandbox.ca_file, "--out", out)
    found = answer(done)["figures"]
    assert (found["in"], found["devices"]) == (12, 12)
    assert set(found["steps"]) == {"connect", "certificate", "register", "prove"}
    assert all(step["p50"] > 0 for step in found["steps"].values())
    counts = sandbox.faults.calls()["operations"]
    asked = counts["create-from-csr"]["requests"] + counts["register-thing"]["requests"]
    assert sum(number * times for number, times in found["requests"]["counts"]) == asked
    assert counts["connect"]["accepted"] >= 24
    assert left(sandbox) == before
    assert sandbox.faults.listed() == []
    page = (out / "report.html").read_text()
    assert "12 of 12" not in page  # it is drawn by the page itself
    assert json.loads((out / "report.json").read_text())["figures"] == found
    assert sorted(path.name for path in out.iterdir()) == ["report.html", "report.json"]


def test_quotas_hold_and_the_report_says_which_refused(
    fleet_cloud: FleetCloud, fleet: str, sandbox: Sandbox, tmp_path: Path
) -> None:
    words = ("rehearse", "--devices", "6", "--quota", "2", "--try", "half-quota", "--spread", "0")
    where = ("--ca-file", sandbox.ca_file, "--out", tmp_path / "out")
    found = answer(fleet_cloud(*words, *where, "--name", fleet, "--json"))["figures"]
    refused = {(refusal["request"], refusal["said"]) for refusal in found["refusals"]}
    assert ("CreateCertificateFromCsr", "429") in refused
    assert found["in"] == 6
    assert found["bound_seconds"] == 6.0


def test_an_image_is_rehearsed_as_it_is_with_power_cuts(
    fleet_cloud: FleetCloud, fleet: str, sandbox: Sandbox, tmp_path: Path
) -> None:
    image, before = tmp_path / "image", left(sandbox)
    made = ("claim", "new", "--image", image, "--ca-file", sandbox.ca_file)
    fleet_cloud(*made, "--fleet-size", "11", "--name", fleet)
    words = ("rehearse", "--devices", "10", "--config", image / "config.yaml", "--quota", "5")
    done = fleet_cloud(
        *words, "--try", "power-cuts", "--out", tmp_path / "out", "--name", fleet, "--json"
    )
    assert answer(done)["figures"]["in"] == 10
    asked = json.loads((tmp_path / "out" / "report.json").read_text())["asked"]
    assert asked["spread"] == 2.0  # what the image says
    assert left(sandbox)[0] == before[0]


def test_parts_on_several_machines_become_one_report(
    fleet_cloud: FleetCloud, fleet: str, sandbox: Sandbox, tmp_path: Path
) -> None:
    where = ("--ca-file", sandbox.ca_file, "--name", fleet, "--spread", "1s")
    for part in (1, 2):
        words = ("rehearse", "--devices", "5", "--shard", f"{part}/2")
        fleet_cloud(*words, *where, "--out", tmp_path / str(part))
    reports = [tmp_path / str(part) / "report.json" for part in (1, 2)]
    done = fleet_cloud("rehearse", "--merge", *reports, "--out", tmp_path / "all", "--json")
    assert answer(done)["figures"]["in"] == 5
    assert (tmp_path / "all" / "report.html").is_file()
    done = fleet_cloud(
        "rehearse", "--merge", reports[0], reports[0], "--out", tmp_path / "no", status=1
    )
    assert "not the parts of one rehearsal" in done.stderr


def test_the_live_page_is_this_machines_alone_and_an_end_takes_everything_away(
    root_dir: Path,
    operator: dict[str, str],
    fleet: str,
    sandbox: Sandbox,
    tmp_path: Path,
) -> None:
    before = left(sandbox)
    words = ["rehearse", "--devices", "4", "--spread", "2m", "--web", "0", "--name", fleet]
    where = ["--ca-file", str(sandbox.ca_file), "--out", str(tmp_path / "out")]
    command = [sys.executable, str(root_dir / "scripts" / "fleet-cloud"), *words, *where]
    with subprocess.Popen(
        command, env=os.environ | operator, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stderr
        line = next(line for line in process.stderr if "live at" in line)
        port = int(re.findall(r":([0-9]+)/", line)[0])
        live = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
        live.request("GET", "/events")
        events = live.getresponse()
        first = events.readline()
        assert json.loads(first.removeprefix(b"data: "))["figures"]["devices"] == 4
        assert asked(port, "/", "localhost")[0] == 200
        assert asked(port, "/", "evil.example")[0] == 403
        assert asked(port, "/other", "localhost")[0] == 404
        time.sleep(1.0)
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 130
    assert left(sandbox) == before
    assert sandbox.faults.listed() == []


def asked(port: int, path: str, host: str) -> tuple[int, bytes]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
    connection.request("GET", path, headers={"Host": f"{host}:{port}"})
    found = connection.getresponse()
    return found.status, found.read()


def test_a_fleet_that_is_not_there_and_leftovers_are_said_before_anything_begins(
    fleet_cloud: FleetCloud, fleet: str, sandbox: Sandbox, tmp_path: Path
) -> None:
    done = fleet_cloud("rehearse", "--devices", "2", "--web", "99999", "--name", fleet, status=2)
    assert "is not a port" in done.stderr
    done = fleet_cloud("rehearse", "--devices", "2", "--name", "nobody", status=1)
    assert "fleet-cloud up" in done.stderr
    nowhere = tmp_path / "nowhere"
    done = fleet_cloud("rehearse", "--devices", "2", "--name", fleet, "--out", nowhere, status=1)
    assert "no connection to" in done.stderr
    assert "--ca-file FILE" in done.stderr
    iot = aws_client(sandbox, "iot")
    certificate = iot.create_keys_and_certificate(setAsActive=True)["certificateId"]
    out: dict[str, Any] = {"certificate": certificate}
    (tmp_path / "made.jsonl").write_text(f"{json.dumps(out)}\n")
    words = ("--name", fleet, "--out", tmp_path)
    done = fleet_cloud("rehearse", "--devices", "2", *words, status=1)
    assert "--clean" in done.stderr
    iot.update_certificate(certificateId=certificate, newStatus="INACTIVE")
    fleet_cloud("rehearse", "--clean", *words)
    with pytest.raises(iot.exceptions.ResourceNotFoundException):
        iot.describe_certificate(certificateId=certificate)
    assert not (tmp_path / "made.jsonl").exists()


@pytest.fixture
def account(sandbox: Sandbox) -> Iterator[str]:
    """An address where the sandbox answers as an account does: nothing can be switched there."""
    port = int(sandbox.http_url.rpartition(":")[2])

    class Handler(http.server.BaseHTTPRequestHandler):
        def forward(self) -> None:
            if self.path.startswith("/_sandbox"):
                self.send_error(404)
                return
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            behind = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
            behind.request(self.command, self.path, body, dict(self.headers))
            found = behind.getresponse()
            data = found.read()
            self.send_response(found.status)
            for name, value in found.getheaders():
                if name.lower() not in {"transfer-encoding", "content-length", "connection"}:
                    self.send_header(name, value)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)
            behind.close()

        do_GET = do_POST = do_PUT = do_DELETE = do_PATCH = forward  # noqa: N815 - names of http.server

        def log_message(self, *_: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()
        thread.join()


def test_an_account_is_asked_for_with_what_it_costs(
    fleet_cloud: FleetCloud, fleet: str, sandbox: Sandbox, account: str, tmp_path: Path
) -> None:
    before = left(sandbox)
    words = ("rehearse", "--devices", "3", "--spread", "0", "--ca-file", sandbox.ca_file)
    where = ("--name", fleet, "--endpoint-url", account, "--out", tmp_path / "out")
    done = fleet_cloud(*words, *where, status=1)
    assert "There is no terminal to answer" in done.stderr
    for said in ("connections", "6, of which 3 stay", "calls of the hook", "list prices", "$0.01"):
        assert said in done.stderr
    assert left(sandbox) == before
    done = fleet_cloud(*words, *where, "--try", "half-quota", status=2)
    assert "need a sandbox" in done.stderr
    done = fleet_cloud(*words, *where, "--yes", "--json")
    assert answer(done)["figures"]["in"] == 3
    assert left(sandbox) == before
