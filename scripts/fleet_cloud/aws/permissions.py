"""The IAM permissions that each command needs, and which of them amount to an administrator's. Pure."""

from collections.abc import Mapping, Sequence

from fleet_cloud.aws import rights, steering
from fleet_cloud.aws.grant import Grant

# What the code calls and no printed policy allows: with it, any role of the fleet could be taken over, and what it may.
# ``up`` needs it only to put a changed trust policy right, which is then an administrator's to do.
WITHHELD = frozenset({"iam:UpdateAssumeRolePolicy"})

# With these a role may be given any right, and then be used: whoever has them has the account, unless a permissions
# boundary limits what such roles may.
ADMINISTRATION = frozenset({"iam:PutRolePolicy"})

_TRIAL_POLICY = ("trial policies",)

COMMANDS: Mapping[str, Sequence[Grant]] = {
    "up": (
        *rights.SEE_FLEET,
        *rights.MAKE_FLEET,
        Grant(("policies",), ("iot:ListTagsForResource", "iot:UntagResource")),
    ),
    "status": (
        *rights.SEE_FLEET,
        *rights.SEE_CLAIMS,
        Grant(("template",), ("iot:ListProvisioningTemplateVersions",)),
        *(
            Grant((kind,), ("iot:ListTagsForResource",))
            for kind in ("policies", "template", "role aliases")
        ),
        Grant(("role", "hook role", "credentials role"), ("iam:ListRoleTags",)),
        Grant(("function",), ("lambda:ListTags",)),
        Grant(("all",), ("iot:ListThings",)),
        rights.LIST,
    ),
    "claim new": rights.MAKE_CLAIM,
    "claim temporary": (
        *rights.SEE_TEMPLATE,
        *rights.ENDPOINT,
        Grant(("template",), ("iot:CreateProvisioningClaim",)),
        Grant(("policies",), ("iot:GetPolicy",)),
    ),
    "claim list": rights.SEE_CLAIMS,
    "claim revoke": (*rights.SEE_CLAIMS, *rights.RETIRE[1:]),
    "config": (*rights.SEE_TEMPLATE, *rights.ENDPOINT, Grant(("policies",), ("iot:GetPolicy",))),
    "devices list": (*rights.SEE_DEVICES, rights.LIST),
    "devices show": (
        Grant(
            ("things",),
            ("iot:DescribeThing", "iot:ListThingPrincipals", "iot:ListThingGroupsForThing"),
        ),
        Grant(("certificates",), ("iot:DescribeCertificate", "iot:ListAttachedPolicies")),
        *steering.SHOW,
    ),
    "devices allow": (
        *rights.SEE_TEMPLATE,
        Grant(("things",), ("iot:DescribeThing", "iot:UpdateThing")),
    ),
    "devices expect": (
        *rights.WHO,
        *rights.SEE_TEMPLATE,
        Grant(("all",), ("iot:ListThings",)),
        Grant(("things",), ("iot:CreateThing", "iot:UpdateThing")),
        # Of these kinds, it needs only things and thing groups.
        Grant(("jobs",), ("iot:AddThingToThingGroup",)),
        Grant(("function",), ("lambda:GetFunction", "lambda:UpdateFunctionConfiguration")),
    ),
    "devices waiting": (Grant(("logs",), ("logs:FilterLogEvents",)),),
    "devices clean": (
        *rights.SEE_DEVICES,
        Grant(("things",), ("iot:DescribeThing",)),
        *rights.RETIRE,
        *rights.DELETE_THINGS,
    ),
    "devices prune": (
        *rights.SEE_DEVICES,
        Grant(("certificates",), ("iot:ListAttachedPolicies",)),
        *rights.RETIRE,
    ),
    "send": steering.SEND,
    "run": steering.RUN,
    "explain": steering.EXPLAIN,
    "rotate start": (
        *rights.WHO,
        *rights.SEE_TEMPLATE,
        Grant(("policies",), ("iot:GetPolicy",)),
        Grant(("all",), ("iot:ListThings",)),
        Grant(("jobs",), ("iot:CreateJob", "iot:TagResource")),
    ),
    "rotate status": (
        *rights.SEE_CERTIFICATES,
        Grant(("all",), ("iot:ListJobs",)),
        Grant(
            ("jobs",),
            ("iot:DescribeJob", "iot:ListJobExecutionsForJob", "iot:DescribeJobExecution"),
        ),
        Grant(("things",), ("iot:ListThingPrincipals",)),
        *rights.RETIRE,
    ),
    "verify": (
        *rights.WHO,
        Grant(("policies",), ("iot:GetPolicy",)),
        Grant(("things",), ("iot:DescribeThing", "iot:UpdateThing")),
        *rights.SEE_TEMPLATE,
        *rights.ENDPOINT,
        Grant(("all",), ("iot:ListThings", "iot:CreateCertificateFromCsr")),
        Grant(("certificates",), ("iot:AttachPolicy",)),
        *rights.RETIRE,
        *rights.DELETE_THINGS,
    ),
    "rehearse": (
        *rights.WHO,
        *rights.SEE_TEMPLATE,
        *rights.ENDPOINT,
        Grant(("all",), ("iot:CreateCertificateFromCsr", "iot:ListPrincipalThings")),
        Grant(("certificates",), ("iot:AttachPolicy",)),
        *rights.RETIRE,
        *rights.DELETE_THINGS,
    ),
    "down": (
        *rights.SEE_FLEET,
        *rights.SEE_CLAIMS,
        *rights.SEE_DEVICES,
        *rights.RETIRE,
        *rights.DELETE_THINGS,
        *rights.DELETE_FLEET,
    ),
    "bulk": rights.BULK,
    "bulk reset": rights.BULK_RESET,
    "check": rights.ENDPOINT,
    "rule up": rights.RULE_UP,
    "rule down": rights.RULE_DOWN,
    "things create": (
        *rights.WHO,
        Grant(("things",), ("iot:CreateThing",)),
        Grant(("all",), ("iot:CreateCertificateFromCsr", "iot:AttachThingPrincipal")),
    ),
    "things send": (
        *rights.WHO,
        *rights.ENDPOINT,
        Grant(_TRIAL_POLICY, ("iot:GetPolicy", *rights.CHANGE_POLICY)),
        Grant(("certificates",), ("iot:AttachPolicy",)),
    ),
    "things clean": (
        *rights.WHO,
        Grant(("things",), ("iot:DescribeThing",)),
        Grant(("all",), ("iot:ListPrincipalThings",)),
        Grant(("certificates",), ("iot:ListAttachedPolicies",)),
        *rights.RETIRE,
        *rights.DELETE_THINGS,
        Grant(
            _TRIAL_POLICY,
            ("iot:ListPolicyVersions", "iot:DeletePolicyVersion", "iot:DeletePolicy"),
        ),
    ),
}


def administrates(commands: Sequence[str]) -> list[str]:
    """Returns those of the commands whose policy, without a permissions boundary, amounts to administrator."""
    return [
        command
        for command in commands
        if any(ADMINISTRATION & {*grant.actions} for grant in COMMANDS[command])
    ]
