"""Programs of a booted device use S3 by the device's own identity: Debian's `aws` and boto3, as users of the device."""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from boot import machine, roots
from boot.machine import HOST, UNIT, Machine
from boot.network import Network
from support.agent import until
from support.fleets import Fleet
from support.vending import Alias, allow, make_alias

pytestmark = pytest.mark.thorough  # its root takes minutes to make

EXAMPLE = Path("usr/share/fleet-agent/examples/systemd/credentials.conf")
SERIAL = "vending"
BOTO3 = """
import boto3, sys
s3 = boto3.client("s3", endpoint_url=sys.argv[1])
s3.put_object(Bucket=sys.argv[2], Key=f"{sys.argv[3]}/boto3", Body=b"x")
print(s3.get_object(Bucket=sys.argv[2], Key=f"{sys.argv[3]}/aws")["Body"].read().decode())
"""


@pytest.fixture(scope="module")
def alias(fleet: Fleet) -> Alias:
    made = make_alias(fleet.sandbox)
    allow(fleet, made.name)
    return made


@pytest.fixture(scope="module")
def device(
    deb: Path,
    suite: str,
    wire: Network,
    fleet: Fleet,
    alias: Alias,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Machine]:
    """A machine with Debian's awscli and boto3, two users, and the drop-in of the documentation."""
    folder = tmp_path_factory.mktemp("vending")
    base = roots.base_root(suite, f"{roots.PACKAGES},awscli,python3-boto3", ".aws")
    root = roots.mount(base, folder / "installed")
    try:
        roots.install(root, deb)
        made = machine.new(folder / SERIAL, root, wire, fleet, SERIAL)
        try:
            for user in ("collector", "stranger"):
                roots.inside(made.root, "useradd", "--create-home", user)
                settings = f"[default]\nregion = {fleet.sandbox.region}\n"
                settings += (
                    f"credential_process = fleet-agent credentials --role-alias {alias.name}\n"
                )
                made.write(f"home/{user}/.aws/config", settings)
            made.drop_in((made.root / EXAMPLE).read_text())
            made.configure(
                credentials={
                    "endpoint": HOST,
                    "port": fleet.sandbox.credentials_port,
                    "aliases": {alias.name: {"allow": ["user:collector"]}},
                    "http_port": 9070,
                }
            )
            yield made
        finally:
            made.cut_power()
            roots.unmount(made.root)
    finally:
        roots.unmount(root)
        shutil.rmtree(folder, ignore_errors=True)


def as_user(user: str, *command: str) -> list[str]:
    return [
        "runuser",
        "-u",
        user,
        "--",
        "env",
        f"HOME=/home/{user}",
        "AWS_EC2_METADATA_DISABLED=true",
        *command,
    ]


def test_aws_and_boto3_use_the_devices_own_identity(device: Machine, alias: Alias) -> None:
    sandbox = device.fleet.sandbox
    url = sandbox.http_url
    requests = sandbox.faults.calls()["operations"]["credentials"]["requests"]
    with device.booted():
        device.wait_connected()
        place = f"s3://{alias.bucket}/{device.thing_name}"
        copy = ("aws", "--endpoint-url", url, "s3", "cp", "/etc/hostname")
        device.run(*as_user("collector", *copy, f"{place}/aws"))
        found = device.run(
            *as_user("collector", "python3", "-c", BOTO3, url, alias.bucket, device.thing_name)
        )
        assert found.strip() == "device"
        # The role allows the thing's own part alone.
        refused = device.attempt(*as_user("collector", *copy, f"s3://{alias.bucket}/another/aws"))
        assert refused.returncode != 0
        assert "AccessDenied" in refused.stderr
        # The allow-list names no other user.
        stranger = device.attempt(*as_user("stranger", *copy, f"{place}/stranger"))
        assert stranger.returncode != 0
        assert "may not get the credentials" in stranger.stderr
        # Over HTTP, as a container would.
        token = (
            "fleet-agent",
            "credentials",
            "--role-alias",
            alias.name,
            "--token-file",
            "/home/collector/token",
        )
        reported = device.run(*as_user("collector", *token))
        # Debian 12's does not know AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE yet.
        held = device.run("cat", "/home/collector/token")
        environment = [
            reported.split()[0],
            f"AWS_CONTAINER_AUTHORIZATION_TOKEN={held}",
            "AWS_CONFIG_FILE=/dev/null",
            f"AWS_DEFAULT_REGION={sandbox.region}",
        ]
        device.run(*as_user("collector", "env", *environment, *copy, f"{place}/container"))
        # Restarted in between, it goes on, and so does the token.
        device.run("systemctl", "restart", UNIT)
        device.wait_connected()
        until(
            lambda: (
                device.attempt("test", "-S", "/run/fleet-agent/credentials.sock").returncode == 0
            ),
            "the socket",
        )
        device.run(*as_user("collector", "env", *environment, *copy, f"{place}/again"))
        asked = sandbox.faults.calls()["operations"]["credentials"]["requests"] - requests
        assert asked == 2

        def expires() -> object:
            shown = json.loads(device.run("fleet-agent", "status", "--json"))
            return shown["daemon"]["credentials"][alias.name]["expires"]

        # What comes soon after something else is shown with it, a moment later.
        until(lambda: expires() is not None, "when they expire")
        secret = device.run(*as_user("collector", "fleet-agent", "credentials"))
        for name in ("SecretAccessKey", "SessionToken"):
            text = json.loads(secret)[name]
            found_in = device.attempt(
                "grep", "-rlF", text, "/var", "/run/fleet-agent", "/etc", "/tmp"
            )
            assert found_in.stdout == ""
