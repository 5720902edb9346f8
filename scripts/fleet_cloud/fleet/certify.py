"""Has a request certified by AWS IoT: the certificate goes into a file, its ARN or id into a variable."""

from pathlib import Path

from fleet_cloud.aws.calls import Aws
from fleet_cloud.local.shell import Command, Variable


def command(
    aws: Aws,
    request: Variable,
    certificate: Path,
    into: Variable,
    named_by: str = "certificateArn",
) -> Command:
    """Returns the command.

    Args:
        aws: Makes it.
        request: The certificate signing request, in PEM.
        certificate: The file for the certificate.
        into: The variable for the certificate's ARN or id.
        named_by: Which of them: ``certificateArn`` or ``certificateId``.
    """
    return aws.command(
        "iot",
        "create-certificate-from-csr",
        *("--certificate-signing-request", request),
        "--set-as-active",
        *("--certificate-pem-outfile", str(certificate)),
        *("--query", named_by),
        into=into,
    )
