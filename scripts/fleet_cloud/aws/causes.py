"""The likely causes of failed ``aws`` calls, and what to do about them: one table. Pure.

AWS's own words are always shown too; a row here adds what they leave out. The first row that matches wins.
"""

import dataclasses
import json
import re

from fleet_cloud.errors import COMMAND_FAILED
from fleet_cloud.local import quoting

_ERROR = re.compile(
    r"An error occurred \((?P<code>\w+)\) when calling the (?P<operation>\w+) operation"
    r"(?: \(reached max retries: \d+\))?: (?P<message>.*)",
    re.DOTALL,
)
_DENIED_ACTION = re.compile(r"not authorized to perform: (?P<action>[\w-]+:\w+)")
# Never one with a wildcard: a proposed statement is no wider than the request.
_DENIED_RESOURCE = re.compile(r"on resource: (?P<resource>arn:[\w:/.@=+,$-]+)(?=\s|$)")
DENIED_CODES = {
    "AccessDenied",
    "AccessDeniedException",
    "UnauthorizedException",
    "AuthorizationError",
}

# What AWS says while a new role has not reached AWS IoT or Lambda yet (seconds), while a function is being made, while
# something detached still counts as attached (minutes), and before a deprecated thing type may go (five minutes).
NOT_YET = re.compile(
    r"cannot be assumed by (AWS IoT|Lambda)|unable to assume|"
    r"\(NoSuchEntity\) when calling the AttachRolePolicy operation|"
    r"update is in progress for resource|function is currently in the following state: Pending|"
    r"Access denied during lambda validation|"
    r"\((DeleteConflictException|CertificateStateException)\) when calling the Delete|"
    r"still attached to|must be deprecated for at least",
    re.IGNORECASE,
)

_OTHERWISE = {"ListObjectsV2": "s3:ListBucket"}

# What AWS says when something does not exist, and when it already exists.
ABSENT_CODES = {
    "NoSuchEntity",
    "ResourceNotFoundException",
    "NoSuchBucket",
    "NoSuchTagSet",
    "NotFound",
}
PRESENT_CODES = {
    "EntityAlreadyExists",
    "ResourceAlreadyExistsException",
    "BucketAlreadyOwnedByYou",
}


@dataclasses.dataclass(frozen=True)
class Row:
    """One kind of failure: ``pattern`` is looked for in AWS's words; its groups may be used in ``remedy``."""

    code: str
    pattern: str
    cause: str
    remedy: str


@dataclasses.dataclass(frozen=True)
class Explanation:
    """What is known of a failure; ``cause`` is empty when the table knows nothing."""

    code: str
    cause: str
    remedy: str


TABLE = (
    Row(
        "no-credentials",
        r"Unable to locate credentials|NoCredentials|Partial credentials",
        "no AWS credentials were found",
        "type: aws configure   (or aws configure sso, or choose a profile with --profile NAME)",
    ),
    Row(
        "unknown-profile",
        r"config profile \((?P<name>.*?)\) could not be found",
        "this profile is neither in ~/.aws/config nor in ~/.aws/credentials",
        "type: aws configure list-profiles   to see yours, or: aws configure --profile {name}",
    ),
    Row(
        "broken-configuration",
        r"Unable to parse config file: (?P<name>[^\n]*)",
        "that file of the AWS CLI is damaged, or is another one",
        "correct it, or take it away: mv {name} {name}.aside",
    ),
    Row(
        "no-memory",
        r"MemoryError|Cannot allocate memory",
        "this machine, or a limit of it, gives this process no more memory",
        "free some, or raise the limit: ulimit -a shows it",
    ),
    Row(
        "credentials-expired",
        r"\((ExpiredToken|ExpiredTokenException|RequestExpired)\)|"
        r"SSO session.*(expired|invalid)|Token has expired|Error loading SSO Token",
        "the credentials were temporary and have expired",
        "type: aws sso login   (or get new ones from where these came from)",
    ),
    Row(
        "clock",
        r"Signature (expired|not yet current)|RequestTimeTooSkewed|InvalidSignatureException.*expired",
        "this machine's clock is wrong by more than five minutes",
        "set the clock (timedatectl set-ntp true) and run this again",
    ),
    Row(
        "credentials-refused",
        r"\((InvalidClientTokenId|UnrecognizedClientException|SignatureDoesNotMatch|"
        r"InvalidSignatureException|AuthFailure|InvalidAccessKeyId)\)|security token included.*is invalid",
        "AWS does not know these credentials: they are mistyped, deleted, or for another partition or endpoint",
        "type: aws configure list   to see where they come from",
    ),
    Row(
        "no-region",
        r"You must specify a region|Provided region_name .* doesn't match|InvalidRegion",
        "no region is set, or its name is mistyped",
        "add --region, such as --region eu-west-1",
    ),
    Row(
        "unreachable",
        r"Could not connect to the endpoint URL|Connect timeout on endpoint|Read timeout on endpoint|"
        r"Connection was closed before|Name or service not known|Failed to connect to proxy",
        "AWS could not be reached: there is no such region, no network, or a proxy is needed (HTTPS_PROXY)",
        "check --region and --endpoint-url, and the network, then run this again",
    ),
    Row(
        "endpoint-url",
        r"(Bad value for --endpoint-url|Invalid endpoint)",
        "the endpoint is not a URL",
        "write it in full, such as --endpoint-url http://localhost:4566",
    ),
    Row(
        "tls",
        r"SSL validation failed|CERTIFICATE_VERIFY_FAILED|certificate verify failed",
        "something between this machine and AWS has a certificate that this machine does not trust",
        "name its CA in AWS_CA_BUNDLE, or check --endpoint-url",
    ),
    Row(
        "throttled",
        r"\((Throttling|ThrottlingException|TooManyRequestsException|RequestLimitExceeded)\)|Rate exceeded",
        "the account is making too many calls at once",
        "wait a minute and run this again: it continues where it stopped",
    ),
    Row(
        "role-not-assumable",
        r"cannot be assumed by AWS IoT|unable to assume",
        "AWS IoT may not assume the provisioning role: its trust policy does not name iot.amazonaws.com and this "
        "account, or the role is so new that AWS IoT has not seen it",
        "wait a minute and run this again; if that does not help, fleet-cloud up --dry-run compares the role",
    ),
    Row(
        "limit",
        r"\((LimitExceededException|LimitExceeded|VersionsLimitExceededException)\)",
        "the account already has as many of these as its quota allows",
        "delete what is not needed, or have the quota raised (Service Quotas)",
    ),
    Row(
        "malformed-policy",
        r"\((MalformedPolicyException|MalformedPolicyDocument)\)",
        "AWS does not accept the policy document, often because it does not fit the region or partition",
        "check the document with --dry-run, and --region",
    ),
    Row(
        "endpoint-is-no-aws",
        r"\([0-9]{3}\) when calling|Unable to parse response|cannot be read as an answer of AWS|"
        r"does not understand the answer",
        "the server there is not AWS, or is an emulator that does not know this version of the AWS CLI",
        "check --endpoint-url and AWS_ENDPOINT_URL; for an emulator use a newer AWS CLI (aws --version shows yours)",
    ),
    Row(
        "aws-is-ill",
        r"\((ServiceUnavailable\w*|InternalFailure\w*|InternalError|ServiceFailure)\)",
        "AWS could not do it at the moment",
        "run this again: it continues where it stopped",
    ),
    Row(
        "target-missing",
        r"\(ResourceNotFoundException\) when calling the CreateJob operation",
        "there is no such thing or thing group",
        "type: fleet-cloud devices list   to see the things; aws iot list-thing-groups shows the groups",
    ),
    Row(
        "old-cli",
        r"Unknown options|Invalid choice, valid choices are|argument operation",
        "this AWS CLI is too old for the command",
        "type: aws --version   and install a newer one: sudo apt-get install awscli",
    ),
)


def error_code(said: str) -> str | None:
    """Returns the code that AWS gave, such as ``NoSuchEntity``; nothing when AWS was not reached."""
    found = _ERROR.search(said)
    return found["code"] if found else None


def explain(said: str, service: str) -> Explanation:
    """Returns what is known of a failed call.

    Args:
        said: What ``aws`` wrote on stderr.
        service: The service that was called, such as ``iot``.
    """
    code = error_code(said)
    if code in DENIED_CODES:
        return _denied(said, service, code)
    for row in TABLE:
        found = re.search(row.pattern, said, re.IGNORECASE | re.DOTALL)
        if found:
            words = {name: quoting.word(value or "") for name, value in found.groupdict().items()}
            return Explanation(code or row.code, row.cause, row.remedy.format(**words))
    return Explanation(
        code or COMMAND_FAILED,
        "",
        "run the command above by hand, with --debug, to find out more",
    )


def _denied(said: str, service: str, code: str) -> Explanation:
    """Returns the missing permission, as the statement to add; without a resource where AWS does not say one."""
    action = _DENIED_ACTION.search(said)
    resource = _DENIED_RESOURCE.search(said)
    operation = _ERROR.search(said)
    named = _lowered(action["action"]) if action else ""
    if not named and operation:
        named = _action(service, operation["operation"])
    statement = {"Effect": "Allow", "Action": named}
    if resource:
        statement["Resource"] = resource["resource"].rstrip(".,;")
        remedy = f"have this statement added to their IAM policy: {json.dumps(statement)}"
    else:
        remedy = (
            f"have {json.dumps(statement)} added to their IAM policy, with the resource that "
            "fleet-cloud operator-policy prints for it"
        )
    return Explanation(code, f"these credentials may not {named}", remedy)


def _action(service: str, operation: str) -> str:
    """Returns what IAM calls an operation, for those whose refusal does not say it."""
    return _OTHERWISE.get(operation, f"{service.removesuffix('api')}:{operation}")


def _lowered(action: str) -> str:
    """Returns an action as policies spell it: SNS says its own name in capitals."""
    service, colon, operation = action.partition(":")
    return service.lower() + colon + operation
