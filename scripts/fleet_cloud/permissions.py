"""The IAM permissions that each command needs, as narrow as AWS lets them be. Pure.

Where AWS knows no resource for an action, or lists over the whole account, the resource is ``*``.
"""

import dataclasses
from collections.abc import Mapping, Sequence

from fleet_cloud.names import Account, FleetNames

Statement = Mapping[str, object]


@dataclasses.dataclass(frozen=True)
class Grant:
    """Actions on the resources of these kinds (the keys of :func:`_resources`)."""

    kinds: tuple[str, ...]
    actions: tuple[str, ...]


_WHO = (Grant(("all",), ("sts:GetCallerIdentity",)),)
_SEE_TEMPLATE = (Grant(("template",), ("iot:DescribeProvisioningTemplate",)),)
_SEE_FLEET = (
    *_WHO,
    *_SEE_TEMPLATE,
    Grant(("roles",), ("iam:GetRole", "iam:ListAttachedRolePolicies")),
    Grant(("policies",), ("iot:GetPolicy",)),
    Grant(
        ("registry",),
        ("iot:DescribeThingType", "iot:DescribeThingGroup", "iot:DescribeBillingGroup"),
    ),
    Grant(("function",), ("lambda:GetFunction", "lambda:GetPolicy")),
)
_SEE_CERTIFICATES = (
    Grant(("policies",), ("iot:ListTargetsForPolicy",)),
    Grant(("all",), ("iot:ListCertificates",)),
)
_SEE_CLAIMS = (
    *_SEE_CERTIFICATES,
    Grant(("certificates",), ("iot:DescribeCertificate", "iot:ListAttachedPolicies")),
)
_SEE_DEVICES = (
    *_SEE_CERTIFICATES,
    Grant(("all",), ("iot:ListThings", "iot:ListPrincipalThings")),
    Grant(("things",), ("iot:ListThingPrincipals",)),
)
_MAKE_FLEET = (
    # Its name is in the request's body: whether AWS compares it is not documented.
    Grant(("all",), ("iot:CreateProvisioningTemplate",)),
    Grant(
        ("roles",),
        (
            "iam:CreateRole",
            "iam:TagRole",
            "iam:UpdateAssumeRolePolicy",
            "iam:AttachRolePolicy",
            "iam:PassRole",
        ),
    ),
    Grant(
        ("policies",),
        (
            "iot:CreatePolicy",
            "iot:CreatePolicyVersion",
            "iot:ListPolicyVersions",
            "iot:DeletePolicyVersion",
            "iot:TagResource",
        ),
    ),
    Grant(
        ("template",),
        (
            "iot:UpdateProvisioningTemplate",
            "iot:CreateProvisioningTemplateVersion",
            "iot:ListProvisioningTemplateVersions",
            "iot:DeleteProvisioningTemplateVersion",
            "iot:TagResource",
        ),
    ),
    Grant(
        ("registry",),
        (
            "iot:CreateThingType",
            "iot:DeprecateThingType",
            "iot:CreateThingGroup",
            "iot:CreateBillingGroup",
            "iot:TagResource",
        ),
    ),
    Grant(
        ("function",),
        (
            "lambda:CreateFunction",
            "lambda:UpdateFunctionCode",
            "lambda:AddPermission",
            "lambda:TagResource",
        ),
    ),
)
_ENDPOINT = (Grant(("all",), ("iot:DescribeEndpoint",)),)
_MAKE_CLAIM = (
    *_WHO,
    *_SEE_TEMPLATE,
    *_ENDPOINT,
    Grant(("policies",), ("iot:GetPolicy", "iot:CreatePolicy", "iot:TagResource")),
    Grant(("all",), ("iot:CreateCertificateFromCsr", "iot:CreateKeysAndCertificate")),
    Grant(
        ("certificates",),
        ("iot:DescribeCertificate", "iot:ListAttachedPolicies", "iot:AttachPolicy"),
    ),
)
_RETIRE = (
    Grant(("all",), ("iot:DetachThingPrincipal",)),
    Grant(("certificates",), ("iot:UpdateCertificate", "iot:DeleteCertificate")),
)
_DELETE_THINGS = (Grant(("things",), ("iot:DeleteThing",)),)
_DELETE_FLEET = (
    Grant(("policies", "template", "registry"), ("iot:ListTagsForResource",)),
    Grant(
        ("policies",),
        ("iot:ListPolicyVersions", "iot:DeletePolicyVersion", "iot:DeletePolicy"),
    ),
    Grant(
        ("template",),
        (
            "iot:UpdateProvisioningTemplate",
            "iot:ListProvisioningTemplateVersions",
            "iot:DeleteProvisioningTemplateVersion",
            "iot:DeleteProvisioningTemplate",
        ),
    ),
    Grant(
        ("registry",),
        (
            "iot:DeprecateThingType",
            "iot:DeleteThingType",
            "iot:DeleteThingGroup",
            "iot:DeleteBillingGroup",
        ),
    ),
    Grant(
        ("function",),
        ("lambda:GetFunctionConfiguration", "lambda:ListTags", "lambda:DeleteFunction"),
    ),
    Grant(("logs",), ("logs:DeleteLogGroup",)),
    Grant(("roles",), ("iam:ListRoleTags", "iam:DetachRolePolicy", "iam:DeleteRole")),
)

COMMANDS: Mapping[str, Sequence[Grant]] = {
    "up": (*_SEE_FLEET, *_MAKE_FLEET),
    "status": (
        *_SEE_FLEET,
        *_SEE_CLAIMS,
        Grant(("template",), ("iot:ListProvisioningTemplateVersions",)),
        Grant(("all",), ("iot:ListThings",)),
    ),
    "claim new": _MAKE_CLAIM,
    "claim temporary": (Grant(("template",), ("iot:CreateProvisioningClaim",)),),
    "claim list": _SEE_CLAIMS,
    "claim revoke": (*_SEE_CLAIMS, *_RETIRE[1:]),
    "config": (*_SEE_TEMPLATE, *_ENDPOINT),
    "devices list": _SEE_DEVICES,
    "devices show": (
        Grant(
            ("things",),
            ("iot:DescribeThing", "iot:ListThingPrincipals", "iot:ListThingGroupsForThing"),
        ),
        Grant(("certificates",), ("iot:DescribeCertificate", "iot:ListAttachedPolicies")),
    ),
    "devices clean": (*_SEE_DEVICES, *_RETIRE, *_DELETE_THINGS),
    "devices prune": (*_SEE_DEVICES, *_RETIRE),
    "verify": (
        *_WHO,
        *_SEE_TEMPLATE,
        *_ENDPOINT,
        Grant(("all",), ("iot:ListThings", "iot:CreateCertificateFromCsr")),
        Grant(("certificates",), ("iot:AttachPolicy",)),
        *_RETIRE,
        *_DELETE_THINGS,
    ),
    "down": (*_SEE_FLEET, *_SEE_CLAIMS, *_SEE_DEVICES, *_RETIRE, *_DELETE_THINGS, *_DELETE_FLEET),
}


def policy(commands: Sequence[str], names: FleetNames, account: Account) -> Statement:
    """Return the least IAM policy for some commands: a statement for each kind of resource."""
    by_kinds: dict[tuple[str, ...], set[str]] = {}
    for command in commands:
        for grant in COMMANDS[command]:
            by_kinds.setdefault(grant.kinds, set()).update(grant.actions)
    resources = _resources(names, account)
    return {
        "Version": "2012-10-17",
        "Statement": [
            {
                "Effect": "Allow",
                "Action": sorted(actions),
                "Resource": [arn for kind in kinds for arn in resources[kind]],
            }
            for kinds, actions in by_kinds.items()
        ],
    }


def _resources(names: FleetNames, account: Account) -> dict[str, list[str]]:
    return {
        "all": ["*"],
        "roles": [account.role(names.role), account.role(names.hook)],
        "policies": [
            account.iot(f"policy/{names.device_policy}"),
            account.iot(f"policy/{names.claim_policy}"),
        ],
        "template": [account.iot(f"provisioningtemplate/{names.template}")],
        "registry": [
            account.iot(f"{kind}/*") for kind in ("thingtype", "thinggroup", "billinggroup")
        ],
        "certificates": [account.iot("cert/*")],
        "things": [account.iot("thing/*")],
        "function": [account.function(names.hook)],
        "logs": [account.log_group(f"/aws/lambda/{names.hook}")],
    }
