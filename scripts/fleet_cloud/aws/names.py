"""What things are called in the cloud: everything derives from the fleet's name. Pure."""

import dataclasses
import hashlib
import re

from fleet_cloud.errors import FleetCloudError, UsageError

# The template has the fleet's name, and AWS allows 36 characters there; a leading hyphen would read as a flag.
FLEET_NAME = re.compile(r"[0-9A-Za-z][0-9A-Za-z_-]{0,35}")
# Thing types, thing groups and billing groups; AWS allows 128 characters there.
REGISTRY_NAME = re.compile(r"[0-9A-Za-z_:][0-9A-Za-z_:-]{0,127}")
THING_NAME = re.compile(r"[0-9A-Za-z_:-]{1,128}")
REGION = re.compile(r"[a-z]{2,4}(-[a-z]+)+-[0-9]{1,2}")

# How a region's name begins shows its partition; every other region is in ``aws``.
_PARTITIONS = {
    "cn-": "aws-cn",
    "us-gov-": "aws-us-gov",
    "us-iso-": "aws-iso",
    "us-isob-": "aws-iso-b",
    "us-isof-": "aws-iso-f",
    "eu-isoe-": "aws-iso-e",
    "eusc-": "aws-eusc",
}

_SLUG_CHARACTERS = 20  # so that a bucket's name, with account and region, stays within 63

# The client id of a claim session; the agent uses "claim-" and a random suffix (in its provisioning runner).
CLAIM_CLIENT_PREFIX = "claim-"

CLAIM_CERTIFICATE_FILE = "claim.certificate.pem.crt"
CLAIM_KEY_FILE = "claim.private.pem.key"


@dataclasses.dataclass(frozen=True)
class FleetNames:
    """The names of one fleet's things in the cloud."""

    fleet: str

    def __post_init__(self) -> None:
        if not FLEET_NAME.fullmatch(self.fleet):
            raise UsageError(
                f"--name {self.fleet!r} cannot name a fleet",
                remedy="use 1 to 36 of the characters 0-9 A-Z a-z _ - beginning with a letter or digit",
            )

    @property
    def template(self) -> str:
        """The provisioning template."""
        return self.fleet

    @property
    def role(self) -> str:
        """The role that AWS IoT assumes to register things."""
        return f"{self.fleet}-provisioning"

    @property
    def device_policy(self) -> str:
        """What a provisioned device may do."""
        return f"{self.fleet}-device"

    @property
    def claim_policy(self) -> str:
        """What a claim may do."""
        return f"{self.fleet}-claim"

    @property
    def hook(self) -> str:
        """The function that says whether a device may register, and its role."""
        return f"{self.fleet}-hook"

    @property
    def credentials(self) -> str:
        """The role of programs on devices, and its alias unless another is named."""
        return f"{self.fleet}-credentials"

    @property
    def rule(self) -> str:
        """The topic rule; AWS allows no hyphen there."""
        return re.sub("[^0-9A-Za-z_]", "_", self.fleet) + "_to_sns"

    @property
    def rule_role(self) -> str:
        """The role that the rule assumes."""
        return f"{self.fleet}-rule"

    @property
    def thing_prefix(self) -> str:
        """The prefix of the serial number in a thing's name."""
        return f"{self.fleet}-"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Account:
    """Where everything is: an account, in a region of a partition (``aws``, ``aws-cn``, ``aws-us-gov``)."""

    partition: str
    number: str
    region: str

    @classmethod
    def of_caller(cls, caller_arn: str, region: str) -> "Account":
        """Reads it from the ARN that ``aws sts get-caller-identity`` gives."""
        parts = caller_arn.split(":")
        if len(parts) < 6 or parts[0] != "arn":  # noqa: PLR2004 - arn:partition:service:region:account:resource
            raise FleetCloudError(
                f"aws sts get-caller-identity returned {caller_arn!r}, which is not an ARN",
                remedy="run it by hand to see whose credentials these are",
                code="caller-unknown",
            )
        return cls(partition=parts[1], number=parts[4], region=region)

    def iot(self, resource: str) -> str:
        """Returns the ARN of something in AWS IoT."""
        return f"arn:{self.partition}:iot:{self.region}:{self.number}:{resource}"

    def function(self, name: str) -> str:
        """Returns the ARN of a Lambda function."""
        return f"arn:{self.partition}:lambda:{self.region}:{self.number}:function:{name}"

    def log_group(self, name: str) -> str:
        """Returns the ARN of a log group, as a policy names it."""
        return f"arn:{self.partition}:logs:{self.region}:{self.number}:log-group:{name}:*"

    def sns_topic(self, name: str) -> str:
        """Returns the ARN of an SNS topic."""
        return f"arn:{self.partition}:sns:{self.region}:{self.number}:{name}"

    def role(self, name: str) -> str:
        """Returns the ARN of a role."""
        return f"arn:{self.partition}:iam::{self.number}:role/{name}"

    @property
    def logs_policy(self) -> str:
        """The ARN of the managed policy that lets a function write its log."""
        return f"arn:{self.partition}:iam::aws:policy/service-role/AWSLambdaBasicExecutionRole"

    @property
    def registration_policy(self) -> str:
        """The ARN of the managed policy that lets AWS IoT register things."""
        return f"arn:{self.partition}:iam::aws:policy/service-role/AWSIoTThingsRegistration"


@dataclasses.dataclass(frozen=True)
class BulkNames:
    """The names that belong to bulk registration of one fleet."""

    names: FleetNames
    account: Account

    @property
    def role(self) -> str:
        """The role that AWS IoT assumes to read the parameters and to register."""
        return f"{self.names.fleet}-bulk"

    @property
    def policy(self) -> str:
        """What a registered thing may do."""
        return f"{self.names.fleet}-bulk"

    @property
    def bucket(self) -> str:
        """The bucket of the parameters; bucket names allow fewer characters than fleets and are globally unique."""
        fleet = self.names.fleet
        slug = re.sub("[^0-9a-z-]", "-", fleet.lower())[:_SLUG_CHARACTERS]
        if slug != fleet:
            slug += f"-{hashlib.sha256(fleet.encode()).hexdigest()[:6]}"
        return f"{slug}-bulk-{self.account.number}-{self.account.region}"


def check_not_claim(flag: str, name: str) -> None:
    """Checks that things whose names begin so never have a client id that is a claim's.

    Raises:
        UsageError: They would: whoever has a claim could connect under a device's name and disconnect it.
    """
    if f"{name}-".startswith(CLAIM_CLIENT_PREFIX):
        raise UsageError(
            f"{flag} {name}: its devices would connect as {name}-…, but every claim may connect as "
            f"{CLAIM_CLIENT_PREFIX}…",
            remedy=f"choose a name that does not begin with {CLAIM_CLIENT_PREFIX[:-1]}",
        )


def partition_of(region: str) -> str:
    """Returns the partition that a region is in."""
    return next((name for start, name in _PARTITIONS.items() if region.startswith(start)), "aws")


def trial_policy(thing: str) -> str:
    """Returns the name of the policy of a trial thing."""
    return f"policy-{thing}"
