"""One account and region, as programs and as calls; counts the calls that are made."""

import json
import os
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError
from botocore.session import Session

from fleet_acceptance.children import ended_with_us
from fleet_acceptance.device.mqtt import Server
from fleet_acceptance.errors import AcceptanceError

SCRIPTS = Path(__file__).resolve().parents[2]
# The longest is down, which waits for what AWS does not delete yet.
_LIMIT_SECONDS = 2400.0
_DEFAULT_PORT = 8883
_CONNECT_SECONDS, _ANSWER_SECONDS = 10, 30
_MOST_TRIES = 10
_SHOWN_LINES = 12


@dataclass(frozen=True)
class Where:
    """Which account and region, as the flags say; an endpoint and a CA for another place than AWS."""

    profile: str | None = None
    region: str | None = None
    endpoint_url: str | None = None
    ca_file: Path | None = None
    environment: Mapping[str, str] = field(default_factory=dict)

    @property
    def flags(self) -> list[str]:
        """The flags that say so to fleet-cloud."""
        given = (
            ("--profile", self.profile),
            ("--region", self.region),
            ("--endpoint-url", self.endpoint_url),
        )
        return [word for name, value in given if value for word in (name, value)]


class Cloud:
    """Makes calls.

    Raises:
        AcceptanceError: there are no credentials or no region, or AWS does not accept them.
    """

    def __init__(self, where: Where) -> None:
        self.where = where
        self.calls: Counter[str] = Counter()
        self.unlisted: dict[str, str] = {}
        self._lock = threading.Lock()
        self._clients: dict[str, Any] = {}
        self._session = Session(profile=where.profile)
        settings = os.environ | where.environment
        self.region = where.region or settings.get("AWS_REGION") or self._configured()
        try:
            caller = self.client("sts").get_caller_identity()
        except (BotoCoreError, ClientError) as error:
            raise AcceptanceError(
                f"AWS does not answer: {error}\n"
                "look at: aws sts get-caller-identity, --profile and --region"
            ) from error
        self.account = str(caller["Account"])
        self.partition = str(caller["Arn"]).split(":")[1]

    def client(self, service: str) -> Any:  # noqa: ANN401  botocore makes its classes
        """Gives botocore's client of a service."""
        with self._lock:
            if service not in self._clients:
                made = self._session.create_client(
                    service,
                    region_name=self.region,
                    endpoint_url=self._endpoint(),
                    aws_access_key_id=self.where.environment.get("AWS_ACCESS_KEY_ID"),
                    aws_secret_access_key=self.where.environment.get("AWS_SECRET_ACCESS_KEY"),
                    config=Config(
                        retries={
                            "mode": "adaptive",
                            # The first call tells whether anybody is there.
                            "total_max_attempts": 2 if service == "sts" else _MOST_TRIES,
                        },
                        connect_timeout=_CONNECT_SECONDS,
                        read_timeout=_ANSWER_SECONDS,
                    ),
                )
                made.meta.events.register("before-call", self._count)
                self._clients[service] = made
            return self._clients[service]

    @property
    def iot(self) -> Any:  # noqa: ANN401
        """The client of AWS IoT."""
        return self.client("iot")

    def arn(self, resource: str, service: str = "iot") -> str:
        """Gives the ARN of a resource of this account and region."""
        region = "" if service == "iam" else self.region
        return f"arn:{self.partition}:{service}:{region}:{self.account}:{resource}"

    def server(self) -> Server:
        """Asks where devices connect."""
        answer = self.iot.describe_endpoint(endpointType="iot:Data-ATS")
        host, _, port = str(answer["endpointAddress"]).partition(":")
        return Server(host, int(port or _DEFAULT_PORT), self.where.ca_file)

    @property
    def environment(self) -> dict[str, str]:
        """The environment of programs that talk to this account."""
        return os.environ | dict(self.where.environment)

    def fleet_cloud(
        self,
        fleet: str,
        *words: str | Path,
        statuses: tuple[int, ...] = (0,),
        folder: Path | None = None,
    ) -> Any:  # noqa: ANN401
        """Runs fleet-cloud for a fleet; gives its JSON answer.

        Raises:
            AcceptanceError: it ended with another status; has its words.
        """
        command = [
            *ended_with_us(),
            sys.executable,
            str(SCRIPTS / "fleet-cloud"),
            *map(str, words),
        ]
        command += ["--name", fleet, "--json", *self.where.flags]
        with self._lock:
            self.calls["fleet-cloud"] += 1
        done = subprocess.run(
            command,
            env=self.environment | ({"TMPDIR": str(folder)} if folder else {}),
            capture_output=True,
            text=True,
            check=False,
            stdin=subprocess.DEVNULL,
            timeout=_LIMIT_SECONDS,
        )
        if done.returncode not in statuses:
            said = "\n".join((done.stdout + done.stderr).splitlines()[-_SHOWN_LINES:])
            shown = " ".join(str(word) for word in words[:3])
            raise AcceptanceError(f"fleet-cloud {shown} ended with {done.returncode}:\n{said}")
        return json.loads(done.stdout)

    def _endpoint(self) -> str | None:
        return self.where.endpoint_url or self.where.environment.get("AWS_ENDPOINT_URL")

    def _configured(self) -> str:
        region = os.environ.get("AWS_DEFAULT_REGION") or self._session.get_config_variable(
            "region"
        )
        if not region:
            raise AcceptanceError("no region is chosen: add --region, such as --region eu-west-1")
        return str(region)

    def _count(self, model: Any, **_: object) -> None:  # noqa: ANN401
        with self._lock:
            self.calls[f"{model.service_model.service_name}:{model.name}"] += 1


def code_of(error: ClientError) -> str:
    """Gives AWS's error code."""
    return str(error.response.get("Error", {}).get("Code", ""))
