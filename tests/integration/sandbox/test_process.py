"""The command: its ready line, where it listens, how it ends, what it keeps, and how it fails."""

import contextlib
import json
import os
import re
import signal
import socket
import ssl
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509

from iot_sandbox.launch import LaunchError, Sandbox, launch, start
from iot_sandbox.limits import RULES
from iot_sandbox.switches import SWITCHES
from support.aws import aws_client
from support.claimant import Claimant
from support.descriptors import opened
from support.fleets import make_fleet
from support.mqtt import connected
from support.vending import make_alias

READY = {
    "ready", "endpoint", "mqtt_port", "mqtt_ports", "credentials_port", "http_url", "ca_file", "region",
    "access_key_id", "secret_access_key",
}  # fmt: skip


def run(*arguments: str | Path) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-m", "iot_sandbox", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


def listening(pid: int) -> set[tuple[str, int]]:
    """Gives the addresses a process listens on, as /proc knows them."""
    inodes = {target[8:-1] for target in opened(pid) if target.startswith("socket:[")}
    found = set()
    for table, family in (("tcp", socket.AF_INET), ("tcp6", socket.AF_INET6)):
        for line in Path(f"/proc/{pid}/net/{table}").read_text().splitlines()[1:]:
            fields = line.split()
            if fields[3] == "0A" and fields[9] in inodes:
                address, port = fields[1].split(":")
                found.add((_address(address, family), int(port, 16)))
    return found


def _address(hexadecimal: str, family: socket.AddressFamily) -> str:
    words = [hexadecimal[i : i + 8] for i in range(0, len(hexadecimal), 8)]
    return socket.inet_ntop(family, b"".join(bytes.fromhex(word)[::-1] for word in words))


def server_certificate(host: str, sandbox: Sandbox) -> x509.Certificate:
    pem = ssl.get_server_certificate((host, sandbox.mqtt_port), ca_certs=str(sandbox.ca_file))
    return x509.load_pem_x509_certificate(pem.encode())


def certificate_names(certificate: x509.Certificate) -> set[str]:
    extension = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName)
    return {str(name.value) for name in extension.value}


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_one_json_line_on_stdout_then_a_clean_end(tmp_path: Path, number: signal.Signals) -> None:
    command = [sys.executable, "-m", "iot_sandbox", "--state-dir", str(tmp_path)]
    command += ["--mqtt-port", "0", "--http-port", "0"]
    # Another one, or whatever else, has the port that is the default one of the credentials endpoint.
    taken = socket.socket()
    with contextlib.suppress(OSError):
        taken.bind(("127.0.0.1", 9443))
    with (
        taken,
        subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as child,
    ):
        assert child.stdout is not None
        line = child.stdout.readline()
        child.send_signal(number)
        rest, _ = child.communicate(timeout=20)
    ready: dict[str, Any] = json.loads(line)
    assert set(ready) == READY
    assert ready["ready"] is True
    assert ready["endpoint"] == "localhost"
    assert Path(ready["ca_file"]).read_text().startswith("-----BEGIN CERTIFICATE-----")
    assert rest == b""
    assert child.returncode == 0


def test_it_listens_on_loopback_and_nowhere_else(sandbox: Sandbox) -> None:
    http_port = int(sandbox.http_url.rpartition(":")[2])
    assert listening(sandbox.pid) == {
        ("127.0.0.1", sandbox.mqtt_port),
        ("127.0.0.1", sandbox.credentials_port),
        ("127.0.0.1", http_port),
    }


def test_several_mqtt_ports_are_served_and_devices_sent_to_the_first(broker: Sandbox) -> None:
    http_port = int(broker.http_url.rpartition(":")[2])
    assert len({*broker.mqtt_ports}) == 2
    assert broker.mqtt_port == broker.mqtt_ports[0]
    ports = {*broker.mqtt_ports, broker.credentials_port, http_port}
    assert listening(broker.pid) == {("127.0.0.1", port) for port in ports}


@pytest.mark.skipif(os.geteuid() != 0, reason="port 443 takes root")
def test_ports_443_and_8883_together(tmp_path: Path) -> None:
    arguments = ("--host", "127.0.0.44", "--mqtt-port", "443", "--mqtt-port", "8883")
    with launch(tmp_path, arguments=arguments) as sandbox:
        assert sandbox.mqtt_ports == [443, 8883]
        for port in sandbox.mqtt_ports:
            pem = ssl.get_server_certificate(("127.0.0.44", port), ca_certs=str(sandbox.ca_file))
            assert "BEGIN CERTIFICATE" in pem


def test_every_option_is_in_the_help_and_in_the_readme(root_dir: Path) -> None:
    shown = run("--help").stdout
    readme = (root_dir / "sandbox" / "README.md").read_text()
    options = {*re.findall(r"--[a-z][a-z-]+", shown)} - {"--help"}
    assert len(options) > 8
    assert {option for option in options if f"`{option}" not in readme} == set()
    for rule in RULES:
        assert f"  {rule} " in shown
        assert f"| `{rule}` |" in readme
    for name, switch in SWITCHES.items():
        assert f"  {name}: {switch.about}" in shown
        assert f"| `{name}` | {switch.about} |" in readme


@pytest.mark.parametrize(
    ("flag", "value"),
    [
        ("--without", "gravity"),
        ("--resend", "0"),
        ("--shortest-keep-alive", "0"),
        ("--set", "gravity=off"),
        ("--like", "no-such-file"),
    ],
)
def test_a_switch_that_is_none_is_a_usage_error(tmp_path: Path, flag: str, value: str) -> None:
    done = run("--state-dir", tmp_path, flag, value)
    assert done.returncode == 2
    assert flag in done.stderr or value in done.stderr


def test_another_host_is_bound_alone_and_in_the_certificate(tmp_path: Path) -> None:
    with launch(tmp_path, arguments=("--host", "127.0.0.2", "--name", "iot.test")) as sandbox:
        assert {host for host, _ in listening(sandbox.pid)} == {"127.0.0.2"}
        assert sandbox.endpoint == "iot.test"
        assert sandbox.http_url.startswith("http://127.0.0.2:")
        names = certificate_names(server_certificate("127.0.0.2", sandbox))
        assert {"127.0.0.2", "iot.test", "localhost"} <= names


def test_new_names_are_in_the_certificate_after_a_restart(tmp_path: Path) -> None:
    with launch(tmp_path) as sandbox:
        before = sandbox.ca_file.read_text()
        assert "later.test" not in certificate_names(server_certificate("127.0.0.1", sandbox))
    with launch(tmp_path, arguments=("--name", "later.test")) as sandbox:
        assert "later.test" in certificate_names(server_certificate("127.0.0.1", sandbox))
        assert sandbox.ca_file.read_text() == before


def test_a_restart_keeps_claims_certificates_things_and_role_aliases(tmp_path: Path) -> None:
    with launch(tmp_path / "state") as sandbox:
        fleet, alias = make_fleet(sandbox, tmp_path), make_alias(sandbox).name
        with connected(sandbox, fleet.claim, "claim-1") as device:
            claimant = Claimant(device, fleet)
            thing = claimant.provision(tmp_path)
            token = claimant.create_keys()[1]["certificateOwnershipToken"]
        assert sandbox.stop() == 0
    with launch(tmp_path / "state") as sandbox:
        assert alias in aws_client(sandbox, "iot").list_role_aliases()["roleAliases"]
        with connected(sandbox, thing, thing.thing_name) as device:
            assert device.publish(f"dt/{thing.thing_name}/test", {}) == 0
        with connected(sandbox, fleet.claim, "claim-1") as device:
            assert Claimant(device, fleet).register(token)[0] == "accepted"


def test_the_state_directory_is_private(tmp_path: Path) -> None:
    with launch(tmp_path / "state"):
        pass
    open_to_others = [p for p in (tmp_path / "state").rglob("*") if p.stat().st_mode & 0o077]
    assert [path.name for path in open_to_others if path.name not in AS_STARTED] == []
    assert (tmp_path / "state").stat().st_mode & 0o077 == 0


AS_STARTED = {"sandbox.log", "aws-config"}  # written by the starter, without secrets


def test_it_ends_with_the_process_that_started_it(tmp_path: Path) -> None:
    sandbox = start(tmp_path)
    assert sandbox.process.stdin is not None
    sandbox.process.stdin.close()
    assert sandbox.process.wait(20) == 0
    sandbox.stop()


def test_a_port_in_use_is_said_in_one_line(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        done = run("--state-dir", tmp_path, "--mqtt-port", port, "--http-port", "0")
    assert done.returncode == 69
    assert done.stdout == ""
    assert done.stderr == (
        f"iot_sandbox: cannot listen on 127.0.0.1:{port}: Address already in use; "
        "--mqtt-port 0 picks a free port\n"
    )


def test_a_state_directory_that_cannot_be_written_is_said_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    done = run("--state-dir", tmp_path / "file" / "state")
    assert done.returncode == 73
    assert done.stderr == (
        f"iot_sandbox: --state-dir {tmp_path}/file/state: cannot write: Not a directory\n"
    )


def test_a_state_directory_in_use_is_said_in_one_line(sandbox: Sandbox) -> None:
    state_dir = sandbox.ca_file.parent
    done = run("--state-dir", state_dir, "--mqtt-port", "0", "--http-port", "0")
    assert done.returncode == 75
    assert done.stderr == f"iot_sandbox: --state-dir {state_dir}: another sandbox is using it\n"


def test_a_full_stdout_is_said_in_one_line(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "iot_sandbox", "--state-dir", str(tmp_path)]
    command += ["--mqtt-port", "0", "--http-port", "0"]
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True, check=False)
    assert done.returncode == 73
    assert done.stderr.endswith("iot_sandbox: stdout cannot be written: No space left on device\n")
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("flag", ["--mqtt-port", "--certificate-life"])
def test_a_number_that_is_none_is_called_that(tmp_path: Path, flag: str) -> None:
    done = run("--state-dir", tmp_path, flag, "many")
    assert done.returncode == 2
    assert "many is not a" in done.stderr


def test_an_unknown_host_is_said_in_one_line(tmp_path: Path) -> None:
    done = run("--state-dir", tmp_path, "--host", "192.0.2.256")
    assert done.returncode == 69
    assert done.stderr.startswith("iot_sandbox: --host 192.0.2.256: ")
    assert done.stderr.count("\n") == 1


def test_a_failed_launch_tells_what_the_sandbox_said(sandbox: Sandbox) -> None:
    with (
        pytest.raises(LaunchError, match=r"status 75:\niot_sandbox: .* another sandbox"),
        launch(sandbox.ca_file.parent),
    ):
        pass
