"""AWS credentials for local programs: from the agent that runs, and from AWS IoT behind it."""

import contextlib
import dataclasses
import http.client
import io
import itertools
import json
import os
import re
import signal
import socket
import stat
import subprocess
import sys
import tarfile
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import botocore.session
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError, CredentialRetrievalError

from iot_sandbox.client import FaultClient
from iot_sandbox.launch import Sandbox
from support.agent import COMMAND, Agent, Daemon, Outcome, environment, run_command, until
from support.aws import aws_client
from support.fleets import Fleet, allow_rotation, make_fleet
from support.operators import operating
from support.proxy import Tinyproxy
from support.softhsm import SoftHsm
from support.tls import free_port
from support.users import NOBODY, as_user
from support.vending import Alias, allow, credentials, make_alias, section

OTHER = 54321  # a user that nothing allows
ONE = 54322  # one that may have one alias alone
ALIASES = 48  # as many as there are tests: each begins with nothing in the agent's memory

_numbers = itertools.count()


@dataclasses.dataclass(frozen=True)
class Vending:
    """A running agent, and the role aliases that it may use."""

    agent: Agent
    daemon: Daemon
    alias: Alias
    forbidden: str
    port: int

    @property
    def sandbox(self) -> Sandbox:
        return self.agent.fleet.sandbox

    @property
    def run_dir(self) -> Path:
        return self.agent.state_dir / "run"

    def ask(self, *words: str | Path, user: int | None = None) -> Outcome:
        return credentials("--runtime-dir", self.run_dir, *words, user=user)

    def requests(self) -> int:
        """How often AWS was asked for credentials of its alias."""
        calls = self.sandbox.faults.calls()["calls"]
        return sum(call["topics"] == [self.alias.name] for call in calls)

    def reload(self) -> None:
        """Lets the agent begin again, with nothing in its memory."""
        started = self.daemon.shown()["started"]
        self.daemon.process.send_signal(signal.SIGHUP)
        until(lambda: self.daemon.shown().get("started", started) != started, "a new image")
        until(self._listens, "it listens")

    def _listens(self) -> bool:
        with socket.socket() as client:
            return client.connect_ex(("127.0.0.1", self.port)) == 0

    def shown(self) -> dict[str, str]:
        """What the status shows of its alias."""
        found: dict[str, str] = self.daemon.shown()["credentials"][self.alias.name]
        return found

    def problem(self) -> dict[str, str] | None:
        """What is wrong with its alias."""
        problems = self.daemon.shown()["problems"]
        return next((problem for problem in problems if problem["name"] == self.alias.name), None)


@pytest.fixture(scope="module")
def own(sandbox: Sandbox, tmp_path_factory: pytest.TempPathFactory) -> Fleet:
    return make_fleet(sandbox, tmp_path_factory.mktemp("vending"))


@pytest.fixture(scope="module")
def running(own: Fleet, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Vending]:
    folder = tmp_path_factory.mktemp("device")
    folder.chmod(0o711)
    for parent in folder.parents:
        if parent.stat().st_uid == os.geteuid() and not parent.stat().st_mode & 0o001:
            parent.chmod(0o711)
    agent = Agent(own, folder)
    assert agent.provision().status == 0
    alias, forbidden, port = make_alias(own.sandbox), "forbidden", free_port()
    names = [f"{alias.name}-{number}" for number in range(ALIASES)]
    for name in names:
        own.iot.create_role_alias(roleAlias=name, roleArn=alias.role)
    allow(own, f"{alias.name}*", "gone")
    users = [f"user:{NOBODY}"]
    wanted = section(
        own.sandbox,
        **dict.fromkeys(names, users),
        **{alias.name: [f"user:{ONE}"], forbidden: [], "gone": []},
    )
    config = agent.configuration(
        folder / "config.yaml",
        credentials={**wanted, "http_port": port},
        runtime_dir=str(agent.state_dir / "run"),
    )
    agent.state_dir.chmod(0o711)
    with agent.running(config=config) as daemon:
        daemon.wait_connected()
        until((agent.state_dir / "run" / "credentials.sock").exists, "the socket")
        yield Vending(agent, daemon, alias, forbidden, port)


@pytest.fixture
def vending(running: Vending, faults: FaultClient) -> Vending:
    """The same with an alias of the test's own, and no faults."""
    assert faults.listed() == []
    name = f"{running.alias.name}-{next(_numbers)}"
    return dataclasses.replace(running, alias=dataclasses.replace(running.alias, name=name))


def session(config: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A botocore session that knows nothing but this configuration."""
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    file = folder / "aws-config"
    file.write_text(f"[default]\n{config}\n")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(file))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", os.devnull)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    return botocore.session.Session()


def s3(found: Any, sandbox: Sandbox) -> Any:
    return found.create_client(
        "s3",
        region_name=sandbox.region,
        endpoint_url=sandbox.http_url,
        config=Config(retries={"total_max_attempts": 1}, proxies={}),
    )


def put(client: Any, vending: Vending, thing: str) -> None:
    client.put_object(Bucket=vending.alias.bucket, Key=f"{thing}/log", Body=b"x")


class TestContracts:
    """Each of the contracts, read by the real botocore."""

    def test_credential_process(
        self, vending: Vending, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        words = f"--role-alias {vending.alias.name} --runtime-dir {vending.run_dir}"
        found = session(
            f"credential_process = {COMMAND} credentials {words}", tmp_path, monkeypatch
        )
        client = s3(found, vending.sandbox)
        put(client, vending, vending.agent.thing_name)
        with pytest.raises(ClientError, match="AccessDenied"):
            put(client, vending, "another")
        # An hour's set is not asked for again at each use, as one of 15 minutes would be.
        assert not found.get_credentials().refresh_needed()
        assert vending.requests() == 1

    def test_its_error_is_what_the_agent_says(
        self, vending: Vending, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        words = f"--role-alias {vending.forbidden} --runtime-dir {vending.run_dir}"
        found = session(
            f"credential_process = {COMMAND} credentials {words}", tmp_path, monkeypatch
        )
        with pytest.raises(CredentialRetrievalError, match="iot:AssumeRoleWithCertificate"):
            put(s3(found, vending.sandbox), vending, "any")

    def test_container_endpoint(
        self, vending: Vending, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        file = tmp_path / "token"
        done = vending.ask("--token-file", file, "--role-alias", vending.alias.name)
        assert done.status == 0, done.stderr
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
        assert not file.read_bytes().endswith(b"\n")  # an error for botocore
        lines = dict(line.split("=", 1) for line in done.stdout.splitlines())
        found = session("", tmp_path, monkeypatch)
        for name, value in lines.items():
            monkeypatch.setenv(name, value)
        client = s3(found, vending.sandbox)
        put(client, vending, vending.agent.thing_name)
        with pytest.raises(ClientError, match="AccessDenied"):
            put(client, vending, "another")
        assert vending.requests() == 1

    def test_a_token_outlives_the_agent(self, vending: Vending, tmp_path: Path) -> None:
        vending.ask("--token-file", tmp_path / "token", "--role-alias", vending.alias.name)
        vending.reload()
        token = (tmp_path / "token").read_text()
        assert http_get(vending, token)[0] == 200


def http_get(
    vending: Vending, token: str | None, alias: str | None = None
) -> tuple[int, dict[str, Any]]:
    connection = http.client.HTTPConnection("127.0.0.1", vending.port, timeout=30)
    headers = {"Authorization": token} if token is not None else {}
    connection.request(
        "GET", f"/role-aliases/{alias or vending.alias.name}/credentials", headers=headers
    )
    answer = connection.getresponse()
    found = answer.status, json.loads(answer.read())
    connection.close()
    return found


def ask_as(user: int, vending: Vending, request: dict[str, Any]) -> dict[str, Any]:
    """What a program of another user reads on the socket."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as client:
        client.settimeout(30)
        with as_user(user):
            client.connect(str(vending.run_dir / "credentials.sock"))
        client.send(json.dumps(request).encode())
        found: dict[str, Any] = json.loads(client.recv(1 << 18))
    return found


class TestOverHttp:
    def test_nobody_without_a_token(self, vending: Vending) -> None:
        for token in (None, "", "0", "0.", f"0.{'0' * 64}", "x.y", "²."):
            status, body = http_get(vending, token and token.encode().decode("latin-1"))
            assert (status, body["code"]) == (401, "authorization-token-unknown")
        assert vending.requests() == 0

    def test_a_users_token_is_good_for_what_that_user_may(self, vending: Vending) -> None:
        asked = {"role_alias": vending.alias.name, "token": True}
        token = ask_as(NOBODY, vending, asked)["token"]
        assert http_get(vending, token)[0] == 200
        if os.geteuid() == 0:
            status, body = http_get(vending, token, vending.forbidden)
            assert (status, body["code"]) == (403, "user-not-allowed")

    def test_other_requests(self, vending: Vending) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", vending.port, timeout=30)
        for method, path, status in (
            ("PUT", "/role-aliases/a/credentials", 404),
            ("POST", "/role-aliases/a/credentials", 400),
            ("GET", "/", 404),
        ):
            connection.request(method, path, body=b"x" if method == "POST" else None)
            answer = connection.getresponse()
            assert (answer.status, "code" in json.loads(answer.read())) == (status, True)
        connection.close()

    def test_another_user_does_not_get_the_port_when_the_agent_reloads(
        self, vending: Vending
    ) -> None:
        """It would be shown the tokens of those who ask meanwhile."""
        taken: list[socket.socket] = []
        is_over = threading.Event()

        def squat() -> None:
            while not is_over.is_set():
                with contextlib.suppress(OSError):
                    taken.append(socket.create_server(("127.0.0.1", vending.port)))

        squatter = threading.Thread(target=squat)
        squatter.start()
        vending.reload()
        is_over.set()
        squatter.join()
        assert taken == []
        assert http_get(vending, "nobody's")[0] == 401


class TestWhoMayHaveThem:
    @pytest.fixture(autouse=True)
    def needs_users(self) -> None:
        if os.geteuid() != 0:
            pytest.skip("needs root, for other users")

    def test_a_user_of_the_allow_list_and_no_other(self, vending: Vending) -> None:
        asked = {"role_alias": vending.alias.name}
        found = ask_as(NOBODY, vending, asked)["credentials"]
        assert set(found) == {
            "Version", "AccessKeyId", "SecretAccessKey", "SessionToken", "Expiration",
        }  # fmt: skip
        assert found["Version"] == 1
        for user, alias in ((NOBODY, vending.forbidden), (OTHER, vending.alias.name)):
            error = ask_as(user, vending, {"role_alias": alias})["error"]
            assert (error["status"], error["code"]) == (77, "user-not-allowed")
            assert f"user:{user}" in error["remedy"]
        assert vending.requests() == 1

    def test_the_only_one_that_a_user_may_have_needs_no_name(self, vending: Vending) -> None:
        assert ask_as(ONE, vending, {})["ok"]
        assert ask_as(NOBODY, vending, {})["error"]["code"] == "role-alias-unclear"
        assert ask_as(OTHER, vending, {})["error"]["code"] == "user-not-allowed"


class TestWhatIsWrong:
    """Told on both sides of the socket, in the statuses of the contract."""

    @pytest.mark.parametrize(
        ("fault", "status", "code"),
        [
            ({"status_code": 429, "error_code": "ThrottlingException"}, 75, "credentials-throttled"),
            ({"status_code": 500}, 75, "credentials-unavailable"),
            ({"status_code": 503}, 75, "credentials-unavailable"),
            ({"status_code": 403, "message": "Access Denied"}, 77, "not-allowed"),
            ({"status_code": 403, "message": "Invalid thing name passed"}, 77, "certificate-not-attached"),
            ({"status_code": 404, "message": "Not Found"}, 78, "credentials-endpoint"),
            ({"status_code": 400, "message": "Unable to assume the role"}, 77, "role-not-assumed"),
            ({"status_code": 400, "message": "CredentialDurationSeconds exceeds"}, 77, "role-session-too-long"),
            ({"status_code": 418, "message": "\x1b[31m"}, 77, "credentials-refused"),
        ],
    )  # fmt: skip
    def test_a_refusal(
        self, vending: Vending, faults: FaultClient, fault: dict[str, Any], status: int, code: str
    ) -> None:
        faults.add("credentials", "reject", **fault)
        done = vending.ask("--role-alias", vending.alias.name, "--json")
        assert (done.status, done.error["code"]) == (status, code)
        assert "\x1b" not in done.stdout + done.stderr
        problem = vending.daemon.wait_for_problem("credentials-failed", name=vending.alias.name)
        assert problem["title"] == done.error["title"]
        # At once again would be to hammer: until then the same is said without a request.
        until(lambda: vending.ask("--role-alias", vending.alias.name).status == 0, "a second try")
        until(lambda: vending.problem() is None, "no problem")

    def test_the_statement_that_is_missing_is_ready_to_paste(self, vending: Vending) -> None:
        done = vending.ask("--role-alias", vending.forbidden, "--json")
        assert (done.status, done.error["code"]) == (77, "not-allowed")
        statement = json.loads(done.error["remedy"].partition(": ")[2])
        assert statement["Action"] == "iot:AssumeRoleWithCertificate"
        assert statement["Resource"].endswith(f":rolealias/{vending.forbidden}")

    def test_no_such_alias_in_the_cloud_and_none_here(self, vending: Vending) -> None:
        gone = vending.ask("--role-alias", "gone", "--json")
        assert (gone.status, gone.error["code"]) == (77, "role-alias-missing")
        assert "--role-alias gone" in gone.error["remedy"]
        unknown = vending.ask("--role-alias", "unknown", "--json")
        assert (unknown.status, unknown.error["code"]) == (78, "role-alias-unknown")
        unclear = vending.ask("--json")
        assert (unclear.status, unclear.error["code"]) == (2, "role-alias-unclear")

    @pytest.mark.parametrize(
        ("kind", "more", "code"),
        [
            ("malformed", {}, "credentials-unreadable"),
            (
                "replace",
                {"payload": {"credentials": {"accessKeyId": 1}}},
                "credentials-unreadable",
            ),
            ("replace", {"payload": "x" * 100_000}, "credentials-unanswered"),
            ("drop-fields", {"fields": ["expiration"]}, "credentials-unreadable"),
            ("close-before", {}, "credentials-unanswered"),
        ],
    )
    def test_an_answer_that_is_none(
        self, vending: Vending, faults: FaultClient, kind: str, more: dict[str, Any], code: str
    ) -> None:
        faults.add("credentials", kind, **more)
        done = vending.ask("--role-alias", vending.alias.name, "--json")
        assert (done.status, done.error["code"]) == (69, code)

    def test_a_set_that_has_expired_when_it_comes(
        self, vending: Vending, faults: FaultClient
    ) -> None:
        faults.add("credentials", "expires-in", seconds=0)
        done = vending.ask("--role-alias", vending.alias.name, "--json")
        assert (done.status, done.error["code"]) == (75, "credentials-expired")

    def test_a_token_that_is_too_long_for_awscrts_own_provider(
        self, vending: Vending, faults: FaultClient
    ) -> None:
        faults.add("credentials", "long-token", bytes=12_000)
        found = vending.ask("--role-alias", vending.alias.name).answer
        assert len(found["SessionToken"]) == 12_000


class TestOneRequest:
    # What a program of any language does, 200 times at once: a packet, its answer.
    PROGRAMS = """
import json, os, socket, sys
for number in range(200):
    if os.fork() == 0:
        client = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        client.connect(sys.argv[1])
        client.send(json.dumps({"role_alias": sys.argv[2]}).encode())
        os.write(1, json.loads(client.recv(1 << 18))["credentials"]["AccessKeyId"].encode() + b"\\n")
        os._exit(0)
sys.exit(any(os.wait()[1] for number in range(200)))
"""

    def test_200_processes_at_once(self, vending: Vending, faults: FaultClient) -> None:
        faults.add("credentials", "delay", seconds=1.5)  # so that they do wait together
        path = str(vending.run_dir / "credentials.sock")
        done = subprocess.run(
            [sys.executable, "-I", "-S", "-c", self.PROGRAMS, path, vending.alias.name],
            capture_output=True, text=True, check=False, timeout=90,
        )  # fmt: skip
        assert (done.returncode, done.stderr) == (0, "")
        found = done.stdout.split()
        assert (len(found), len(set(found))) == (200, 1)
        assert vending.requests() == 1

    def test_one_that_is_about_to_end_is_replaced(
        self, vending: Vending, faults: FaultClient
    ) -> None:
        faults.add("credentials", "expires-in", seconds=31)
        named = "--role-alias", vending.alias.name
        short = vending.ask(*named).answer
        assert vending.requests() == 1
        until(lambda: vending.ask(*named).answer != short, "another set", 10)
        assert vending.requests() == 2

    def test_what_is_good_is_handed_out_while_aws_is_away(
        self, vending: Vending, faults: FaultClient
    ) -> None:
        named = "--role-alias", vending.alias.name
        faults.add("credentials", "expires-in", seconds=34)
        first = vending.ask(*named).answer
        faults.add("credentials", "close-before", calls="every")
        # Others are asked for as the end comes near, in vain.
        until(lambda: vending.ask(*named).status == 0 and vending.problem(), "a problem")
        problem = vending.problem() or {}
        assert "No answer" in problem["title"]
        assert vending.ask(*named).answer == first
        assert vending.shown()["expires"] == first["Expiration"]
        assert "No answer" in until(lambda: vending.shown()["last_error"], "it is shown")


def test_a_connection_is_answered_in_order_and_a_bad_packet_is_no_end(vending: Vending) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as client:
        client.settimeout(30)
        client.connect(str(vending.run_dir / "credentials.sock"))
        asked = json.dumps({"role_alias": vending.alias.name}).encode()
        for packet in (asked, b"{", b'{"x": 1}', b"[" * 5000, b" " * 5000, asked):
            client.send(packet)
        answers = [json.loads(client.recv(1 << 18)) for _ in range(6)]
    assert [answer["ok"] for answer in answers] == [True, False, False, False, False, True]
    assert {answer["error"]["code"] for answer in answers[1:5]} == {"bad-packet"}
    assert answers[0] == answers[5]


def test_10000_answers_a_minute_take_less_than_a_tenth_of_a_core(vending: Vending) -> None:
    asked = json.dumps({"role_alias": vending.alias.name}).encode()
    count = 3000
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as client:
        client.settimeout(30)
        client.connect(str(vending.run_dir / "credentials.sock"))

        def ask() -> bytes:
            client.send(asked)
            return client.recv(1 << 18)

        first, before = ask(), cpu_seconds(vending.daemon.pid)
        assert {ask() for _ in range(count)} == {first}
    used = cpu_seconds(vending.daemon.pid) - before
    assert used / count * 10_000 / 60 < 0.1
    assert vending.requests() == 1


def cpu_seconds(pid: int) -> float:
    """What a process has used of a core, all its threads."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def test_the_status_shows_aliases(vending: Vending) -> None:
    found = vending.ask("--role-alias", vending.alias.name).answer
    assert until(lambda: vending.shown()["expires"], "it is shown") == found["Expiration"]
    unused = vending.daemon.shown()["credentials"][f"{vending.alias.bucket}-{ALIASES - 1}"]
    assert unused == {"expires": None, "last_error": None, "last_error_time": None}
    status = subprocess.run(
        [str(COMMAND), "status", "--state-dir", str(vending.agent.state_dir)],
        env=environment(), capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert f"{vending.alias.name}: until {found['Expiration']}" in status.stdout


def test_nothing_secret_is_anywhere(vending: Vending) -> None:
    found = vending.ask("--role-alias", vending.alias.name).answer
    vending.daemon.shown()
    folder = vending.agent.folder
    secrets = found["SecretAccessKey"], found["SessionToken"]
    for path in folder.rglob("*"):
        if path.is_file():
            text = path.read_bytes().decode(errors="replace")
            assert not any(secret in text for secret in secrets), path
    assert not re.search(
        "|".join(secrets), Path(f"/proc/{vending.daemon.pid}/cmdline").read_text()
    )


class TestWithoutTheAgent:
    @pytest.fixture
    def stopped(self, own: Fleet, running: Vending, tmp_path: Path) -> tuple[Agent, Path]:
        agent = Agent(own, tmp_path)
        assert agent.provision().status == 0
        wanted = section(own.sandbox, **{running.alias.name: []})
        return agent, agent.configuration(tmp_path / "config.yaml", credentials=wanted)

    def test_it_asks_itself(self, stopped: tuple[Agent, Path], faults: FaultClient) -> None:
        done = credentials("--config", stopped[1], "--as-owner")
        assert done.status == 0, done.stderr
        assert done.answer["Version"] == 1
        assert faults.calls()["operations"]["credentials"]["requests"] == 1

    def test_a_revoked_certificate(self, own: Fleet, stopped: tuple[Agent, Path]) -> None:
        agent, config = stopped
        own.iot.update_certificate(certificateId=agent.current_id() or "", newStatus="INACTIVE")
        done = credentials("--config", config, "--as-owner", "--json")
        assert (done.status, done.error["code"]) == (77, "certificate-refused")

    def test_aws_is_not_there(
        self, own: Fleet, running: Vending, stopped: tuple[Agent, Path]
    ) -> None:
        agent, _ = stopped
        wanted = section(own.sandbox, **{running.alias.name: []}) | {"port": free_port()}
        config = agent.configuration(agent.folder / "other.yaml", credentials=wanted)
        done = credentials("--config", config, "--as-owner", "--json")
        assert (done.status, done.error["code"]) == (69, "endpoint-unreachable")

    def test_without_a_section(self, stopped: tuple[Agent, Path]) -> None:
        agent, _ = stopped
        config = agent.configuration(agent.folder / "none.yaml")
        done = credentials("--config", config, "--as-owner", "--json")
        assert (done.status, done.error["code"]) == (78, "credentials-unconfigured")


def test_without_the_section_nothing_of_it_is_imported(own: Fleet, tmp_path: Path) -> None:
    agent = Agent(own, tmp_path)
    with agent.running(env={"PYTHONPROFILEIMPORTTIME": "1"}) as daemon:
        daemon.wait_connected()
        imported = set(re.findall(r"\| +([\w.]+)$", daemon.log, re.MULTILINE))
    assert "fleet_agent.daemon.composition" in imported
    ours = "fleet_agent.vending", "fleet_agent.local_clients", "fleet_agent.session.http"
    assert [name for name in imported if name.startswith(ours)] == []


class TestBundles:
    """A bundle for support goes to S3 below the thing's own name."""

    def bundle(self, vending: Vending) -> list[str]:
        """The names in the one bundle that lies there, which is taken away."""
        client = aws_client(vending.sandbox, "s3")
        begin = f"{vending.agent.thing_name}/bundle-"
        (found,) = client.list_objects_v2(Bucket=vending.alias.bucket, Prefix=begin)["Contents"]
        body = client.get_object(Bucket=vending.alias.bucket, Key=found["Key"])["Body"].read()
        client.delete_object(Bucket=vending.alias.bucket, Key=found["Key"])
        with tarfile.open(fileobj=io.BytesIO(body)) as archive:
            return archive.getnames()

    def test_by_the_doctor(self, vending: Vending) -> None:
        place = f"s3://{vending.alias.bucket}"
        words = "--bundle", place, "--role-alias", vending.alias.name, "--json"
        config = vending.agent.folder / "config.yaml"
        env = vending.sandbox.environment
        done = run_command("doctor", "--config", config, *words, env=env)
        assert done.answer["bundle"].startswith(f"{place}/{vending.agent.thing_name}/bundle-")
        assert "fleet-agent/doctor.json" in self.bundle(vending)
        # Only below the thing's own name.
        elsewhere = "--bundle", f"{place}/elsewhere", "--role-alias", vending.alias.name, "--json"
        refused = run_command("doctor", "--config", config, *elsewhere, env=env)
        assert (refused.status, refused.error["code"]) == (77, "s3-refused")
        assert run_command("doctor", "--bundle", "s3://X", "--json").status == 2

    def test_by_order(self, vending: Vending, tmp_path: Path) -> None:
        agent, fleet = vending.agent, vending.agent.fleet
        device = Agent(fleet, tmp_path)
        assert device.provision().status == 0
        order = {"to": f"s3://{vending.alias.bucket}", "role_alias": vending.alias.name}
        config = device.configuration(
            tmp_path / "config.yaml",
            credentials=section(fleet.sandbox, **{vending.alias.name: []}),
            subscriptions=[{"topic": "cmd/{thing}/bundle", "upload_bundle": order}],
        )
        env = {
            "FLEET_AGENT_CONFIG": str(config),
            "AWS_ENDPOINT_URL": fleet.sandbox.http_url,
            "AWS_REGION": fleet.sandbox.region,
        }
        with (
            device.running(config=config, env=env) as daemon,
            operating(fleet, tmp_path) as operator,
        ):
            daemon.wait_for_line("subscribed to")
            operator.subscribe(f"dt/{device.thing_name}/answers")
            operator.send(
                f"cmd/{device.thing_name}/bundle",
                response_topic=f"dt/{device.thing_name}/answers",
            )
            said = operator.said(60)
        assert said["status"] == 0, said
        assert device.thing_name in said["stdout"]
        shown = dataclasses.replace(vending, agent=device)
        assert "fleet-agent/doctor.json" in self.bundle(shown)
        assert agent.thing_name != device.thing_name


def test_a_key_in_a_token(own: Fleet, running: Vending, tmp_path: Path) -> None:
    hsm, agent = SoftHsm(tmp_path), Agent(own, tmp_path)
    config = agent.configuration(
        tmp_path / "config.yaml",
        provisioning={
            "template": own.template,
            "parameters": {"SerialNumber": agent.serial},
            "key": hsm.key(),
        },
        credentials=section(own.sandbox, **{running.alias.name: []}),
        runtime_dir=str(agent.state_dir / "run"),
    )
    with agent.running(config=config, env=hsm.environment) as daemon:
        daemon.wait_connected()
        assert not list(agent.credentials.rglob("private*"))
        named = "--runtime-dir", agent.state_dir / "run"
        assert credentials(*named).answer["Version"] == 1
        assert daemon.end() == 0
    alone = credentials("--config", config, "--as-owner", env=hsm.environment)
    assert alone.answer["Version"] == 1


def test_through_a_proxy(own: Fleet, running: Vending, tmp_path: Path) -> None:
    agent = Agent(own, tmp_path)
    assert agent.provision().status == 0
    port = own.sandbox.credentials_port
    wanted = section(own.sandbox, **{running.alias.name: []})
    with Tinyproxy(tmp_path, port) as proxy:
        config = agent.configuration(tmp_path / "config.yaml", credentials=wanted, proxy=proxy.url)
        assert credentials("--config", config, "--as-owner").status == 0
        assert proxy.connects() == [f"localhost:{port}"]
    with Tinyproxy(tmp_path, own.sandbox.mqtt_port) as proxy:
        config = agent.configuration(tmp_path / "config.yaml", credentials=wanted, proxy=proxy.url)
        refused = credentials("--config", config, "--as-owner", "--json")
        assert (refused.status, refused.error["code"]) == (69, "proxy-refused")


def test_after_a_rotation_the_new_certificate_asks(
    own: Fleet, running: Vending, tmp_path: Path, faults: FaultClient
) -> None:
    allow_rotation(own)
    agent = Agent(own, tmp_path)
    assert agent.provision().status == 0
    names = [f"{running.alias.name}-{number}" for number in (0, 1)]
    config = agent.configuration(
        tmp_path / "config.yaml",
        credentials=section(own.sandbox, **dict.fromkeys(names, ())),
        runtime_dir=str(agent.state_dir / "run"),
    )
    with agent.running(config=config) as daemon:
        daemon.wait_connected()
        named = "--runtime-dir", agent.state_dir / "run", "--role-alias"
        kept = credentials(*named, names[0]).answer
        former = agent.current_id() or ""
        rotated = run_command("rotate", "--force", "--json", "--config", config)
        assert rotated.status == 0, rotated.stderr
        own.iot.update_certificate(certificateId=former, newStatus="INACTIVE")
        # What was bought with the former one is good, and others come for the new one.
        assert credentials(*named, names[0]).answer == kept
        assert credentials(*named, names[1]).status == 0
    asked = [
        call["connection_certificate"]
        for call in faults.calls()["calls"]
        if call["operation"] == "credentials"
    ]
    assert asked == [former, agent.current_id()]
