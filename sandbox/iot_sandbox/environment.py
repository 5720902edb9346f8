"""ministack's settings, which it reads from the environment while it is imported."""

import os
import socket
from pathlib import Path

from iot_sandbox.listeners import port_of
from iot_sandbox.settings import ACCESS_KEY_ID, ACCOUNT_ID, SECRET_ACCESS_KEY, Settings

# What devices, fleet-cloud and rule actions need. Other services would open their own listeners.
SERVICES = (
    "cloudtrail", "dynamodb", "events", "iam", "iot", "iot-data", "iot-jobs-data", "kms", "lambda", "logs",
    "monitoring", "s3", "scheduler", "secretsmanager", "sns", "sqs", "ssm", "sts",
)  # fmt: skip

# The caller's own AWS account, or another emulator's settings, must not reach the sandbox.
_FOREIGN = (
    "AWS_",
    "EDGE_",
    "GATEWAY_",
    "IOT_",
    "LAMBDA_",
    "LOCALSTACK_",
    "MINISTACK_",
    "S3_",
    "SFTP_",
)


def prepare(settings: Settings, state_dir: Path, http: socket.socket, mqtt: socket.socket) -> None:
    """Sets this process's environment; call it before anything of ministack is imported.

    Args:
        settings: the sandbox asked for.
        state_dir: absolute.
        http: the socket for HTTP.
        mqtt: the first of those for MQTT.
    """
    for name in [name for name in os.environ if name.startswith(_FOREIGN)]:
        del os.environ[name]
    os.environ.update(
        {
            "AUTH": "true",
            "AWS_ACCESS_KEY_ID": ACCESS_KEY_ID,
            "AWS_SECRET_ACCESS_KEY": SECRET_ACCESS_KEY,
            "BIND_HOST": settings.host,
            # ministack removes containers it thinks are its own; the sandbox has none.
            "DOCKER_HOST": f"unix://{state_dir}/no-docker.sock",
            "GATEWAY_PORT": str(port_of(http)),
            "IOT_RETRANSMIT_SECONDS": str(settings.limits.resend_seconds),
            "IOT_MTLS_PORT": str(port_of(mqtt)),
            "MINISTACK_ACCOUNT_ID": ACCOUNT_ID,
            "MINISTACK_HOST": "localhost",
            "MINISTACK_REGION": settings.region,
            "PERSIST_STATE": "1",
            "S3_DATA_DIR": str(state_dir / "s3"),
            "S3_PERSIST": "1",
            "SERVICES": ",".join(SERVICES),
            "STATE_DIR": str(state_dir / "services"),
            "USE_SSL": "0",
        }
    )
