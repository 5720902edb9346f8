"""AWS credentials for programs of a device, by its certificate."""

import json
import shutil
from typing import Any

from botocore.exceptions import ClientError
from botocore.session import Session as AwsSession

from fleet_acceptance.context import Run
from fleet_acceptance.device.agents import until
from fleet_acceptance.errors import AcceptanceError
from fleet_acceptance.sections.devices import device

_HTTPS_PORT = 443
_SPREAD_SECONDS = 120.0


def credentials(run: Run) -> None:
    """A program asks the agent, and uses what it gets for what the role allows and nothing else."""
    alias = f"{run.id}-reader"
    with run.step("fleet-cloud up --credentials: a role, a role alias, a right of the devices"):
        allowed = {"Effect": "Allow", "Action": "iot:DescribeEndpoint", "Resource": "*"}
        policy = run.path / "reader.json"
        policy.write_text(json.dumps({"Version": "2012-10-17", "Statement": [allowed]}))
        run.fleet_cloud("up", "--credentials", alias, "--credentials-policy", policy)
    found = run.cloud.iot.describe_endpoint(endpointType="iot:CredentialProvider")
    host, _, port = str(found["endpointAddress"]).partition(":")
    folder = run.path / "reading"
    shutil.copytree(run.image, folder)
    settings = {"endpoint": host, "port": int(port or _HTTPS_PORT), "aliases": {alias: {}}}
    (folder / "config.d/credentials.yaml").write_text(json.dumps({"credentials": settings}))
    agent = device(run, "reads", config=folder / "config.yaml")
    with run.step("fleet-agent credentials: a session of the role"):
        agent.provision()
        with agent.running():
            until(agent.publishes, "the device's session")
            given = until(lambda: _asked(run, agent, alias), "credentials", _SPREAD_SECONDS)
    with run.step("they do what the role allows, and nothing else"):
        iot = _client(run, given)
        iot.describe_endpoint(endpointType="iot:Data-ATS")
        try:
            iot.list_things()
        except ClientError:
            return
        raise AcceptanceError("they may do more than the role's policy allows")


def _asked(run: Run, agent: Any, alias: str) -> Any:  # noqa: ANN401
    """Asks the agent once; what is new in the cloud is not known everywhere yet."""
    try:
        given = agent.call("credentials", "--role-alias", alias)
    except AcceptanceError:
        return None
    run.redactor.learn(*(str(given[name]) for name in ("SecretAccessKey", "SessionToken")))
    return given


def _client(run: Run, given: Any) -> Any:  # noqa: ANN401  botocore makes its classes
    cloud = run.cloud
    return AwsSession(profile=cloud.where.profile).create_client(
        "iot",
        region_name=cloud.region,
        endpoint_url=cloud.iot.meta.endpoint_url,
        aws_access_key_id=given["AccessKeyId"],
        aws_secret_access_key=given["SecretAccessKey"],
        aws_session_token=given["SessionToken"],
    )
