"""The IAM permissions that each command needs, as narrow as AWS lets them be. Pure.

Where AWS knows no resource for an action, or lists over the whole account, the resource is ``*``.
"""

from collections.abc import Mapping, Sequence

from fleet_cloud.aws import steering
from fleet_cloud.aws.grant import Grant

# What the code calls and no printed policy allows: with it, any role of the fleet could be taken over, and what it may.
# ``up`` needs it only to put a changed trust policy right, which is then an administrator's to do.
WITHHELD = frozenset({"iam:UpdateAssumeRolePolicy"})

# With these a role may be given any right, and then be used: whoever has them has the account, unless a permissions
# boundary limits what such roles may.
ADMINISTRATION = frozenset({"iam:PutRolePolicy"})


_ATTACHING = ("iam:AttachRolePolicy", "iam:DetachRolePolicy", "iam:ListAttachedRolePolicies")

_WHO = (Grant(("all",), ("sts:GetCallerIdentity",)),)
_SEE_TEMPLATE = (Grant(("template",), ("iot:DescribeProvisioningTemplate",)),)
_SEE_FLEET = (
    *_WHO,
    *_SEE_TEMPLATE,
    Grant(("role", "hook role", "credentials role"), ("iam:GetRole",)),
    Grant(("hook role", "credentials role"), ("iam:GetRolePolicy",)),
    Grant(("role aliases",), ("iot:DescribeRoleAlias",)),
    Grant(("role",), _ATTACHING[2:], "registration"),
    Grant(("hook role",), _ATTACHING[2:], "logs"),
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
# Of one index; but a statement of its own would not fit into a managed policy.
_LIST = Grant(("all",), ("iot:SearchIndex",))
_CHANGE_POLICY = (
    "iot:CreatePolicy",
    "iot:CreatePolicyVersion",
    "iot:ListPolicyVersions",
    "iot:DeletePolicyVersion",
    "iot:TagResource",
)
_MAKE_FLEET = (
    # Its name is in the request's body: whether AWS compares it is not documented.
    Grant(("all",), ("iot:CreateProvisioningTemplate",)),
    Grant(("role", "hook role", "credentials role"), ("iam:CreateRole", "iam:TagRole")),
    Grant(("hook role", "credentials role"), ("iam:PutRolePolicy",)),
    Grant(("role",), _ATTACHING[:1], "registration"),
    Grant(("hook role",), _ATTACHING[:1], "logs"),
    Grant(("role", "credentials role"), ("iam:PassRole",), "to iot"),
    Grant(("hook role",), ("iam:PassRole",), "to lambda"),
    Grant(
        ("role aliases",),
        ("iot:CreateRoleAlias", "iot:UpdateRoleAlias", "iot:TagResource"),
    ),
    Grant(("policies",), _CHANGE_POLICY),
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
            "lambda:UpdateFunctionConfiguration",
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
    *(
        Grant((kind,), ("iot:ListTagsForResource",))
        for kind in ("policies", "template", "registry", "role aliases")
    ),
    Grant(("role aliases",), ("iot:DeleteRoleAlias",)),
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
    Grant(("role", "hook role", "credentials role"), ("iam:ListRoleTags", "iam:DeleteRole")),
    Grant(("hook role", "credentials role"), ("iam:DeleteRolePolicy",)),
    Grant(("role",), _ATTACHING[1:2], "registration"),
    Grant(("hook role",), _ATTACHING[1:2], "logs"),
)

_SEE_BULK = (
    *_WHO,
    Grant(("bulk role",), ("iam:GetRole",)),
    Grant(("bulk policy",), ("iot:GetPolicy",)),
    Grant(("registry",), ("iot:DescribeThingType",)),
    Grant(("bucket",), ("s3:GetBucketLocation", "s3:GetBucketTagging")),
)
_BULK = (
    *_SEE_BULK,
    Grant(
        ("bulk role",),
        (
            "iam:GetRolePolicy",
            "iam:CreateRole",
            "iam:TagRole",
            "iam:PutRolePolicy",
        ),
    ),
    Grant(("bulk role",), (_ATTACHING[0], _ATTACHING[2]), "registration"),
    Grant(("bulk role",), ("iam:PassRole",), "to iot"),
    Grant(("bulk policy",), _CHANGE_POLICY),
    Grant(("registry",), ("iot:CreateThingType", "iot:DeprecateThingType", "iot:TagResource")),
    Grant(("bucket",), ("s3:CreateBucket", "s3:PutBucketTagging")),
    Grant(("bucket objects",), ("s3:PutObject",)),
    Grant(
        ("all",),
        (
            "iot:StartThingRegistrationTask",
            "iot:DescribeThingRegistrationTask",
            "iot:ListThingRegistrationTasks",
            "iot:ListThingRegistrationTaskReports",
            "iot:CreateCertificateFromCsr",
        ),
    ),
)
_BULK_RESET = (
    *_SEE_BULK,
    Grant(("all",), ("iot:ListPrincipalThings", "iot:ListThings")),
    Grant(
        ("bulk policy",),
        (
            "iot:ListTargetsForPolicy",
            "iot:ListTagsForResource",
            "iot:ListPolicyVersions",
            "iot:DeletePolicyVersion",
            "iot:DeletePolicy",
        ),
    ),
    Grant(
        ("registry",),
        ("iot:ListTagsForResource", "iot:DeprecateThingType", "iot:DeleteThingType"),
    ),
    Grant(("bucket",), ("s3:ListBucket", "s3:DeleteBucket")),
    Grant(("bucket objects",), ("s3:DeleteObject",)),
    Grant(("bulk role",), ("iam:ListRoleTags", "iam:DeleteRolePolicy", "iam:DeleteRole")),
    Grant(("bulk role",), _ATTACHING[1:2], "registration"),
    *_RETIRE,
    *_DELETE_THINGS,
)
_SEE_RULE = (
    *_WHO,
    Grant(("all",), ("iot:ListTopicRules",)),
    Grant(("rule",), ("iot:GetTopicRule",)),
    Grant(("rule role",), ("iam:GetRole", "iam:GetRolePolicy")),
)
_RULE_UP = (
    *_SEE_RULE,
    Grant(("rule",), ("iot:CreateTopicRule", "iot:ReplaceTopicRule", "iot:TagResource")),
    Grant(
        ("rule role",),
        (
            "iam:CreateRole",
            "iam:TagRole",
            "iam:PutRolePolicy",
        ),
    ),
    Grant(("rule role",), ("iam:PassRole",), "to iot"),
    Grant(
        ("topics",),
        (
            "sns:GetTopicAttributes",
            "sns:CreateTopic",
            "sns:TagResource",
            "sns:ListSubscriptionsByTopic",
            "sns:Subscribe",
        ),
    ),
)
_RULE_DOWN = (
    *_SEE_RULE,
    Grant(("rule",), ("iot:DeleteTopicRule",)),
    Grant(("rule role",), ("iam:ListRoleTags", "iam:DeleteRolePolicy", "iam:DeleteRole")),
    Grant(("topics",), ("sns:ListTagsForResource", "sns:DeleteTopic")),
)
_TRIAL_POLICY = ("trial policies",)

COMMANDS: Mapping[str, Sequence[Grant]] = {
    "up": (
        *_SEE_FLEET,
        *_MAKE_FLEET,
        Grant(("policies",), ("iot:ListTagsForResource", "iot:UntagResource")),
    ),
    "status": (
        *_SEE_FLEET,
        *_SEE_CLAIMS,
        Grant(("template",), ("iot:ListProvisioningTemplateVersions",)),
        *(
            Grant((kind,), ("iot:ListTagsForResource",))
            for kind in ("policies", "template", "role aliases")
        ),
        Grant(("role", "hook role", "credentials role"), ("iam:ListRoleTags",)),
        Grant(("function",), ("lambda:ListTags",)),
        Grant(("all",), ("iot:ListThings",)),
        _LIST,
    ),
    "claim new": _MAKE_CLAIM,
    "claim temporary": (
        *_SEE_TEMPLATE,
        *_ENDPOINT,
        Grant(("template",), ("iot:CreateProvisioningClaim",)),
        Grant(("policies",), ("iot:GetPolicy",)),
    ),
    "claim list": _SEE_CLAIMS,
    "claim revoke": (*_SEE_CLAIMS, *_RETIRE[1:]),
    "config": (*_SEE_TEMPLATE, *_ENDPOINT, Grant(("policies",), ("iot:GetPolicy",))),
    "devices list": (*_SEE_DEVICES, _LIST),
    "devices show": (
        Grant(
            ("things",),
            ("iot:DescribeThing", "iot:ListThingPrincipals", "iot:ListThingGroupsForThing"),
        ),
        Grant(("certificates",), ("iot:DescribeCertificate", "iot:ListAttachedPolicies")),
        *steering.SHOW,
    ),
    "devices allow": (
        *_SEE_TEMPLATE,
        Grant(("things",), ("iot:DescribeThing", "iot:UpdateThing")),
    ),
    "devices expect": (
        *_WHO,
        *_SEE_TEMPLATE,
        Grant(("all",), ("iot:ListThings",)),
        Grant(("things",), ("iot:CreateThing", "iot:UpdateThing")),
        # Of these kinds it needs things and thing groups.
        Grant(("jobs",), ("iot:AddThingToThingGroup",)),
        Grant(("function",), ("lambda:GetFunction", "lambda:UpdateFunctionConfiguration")),
    ),
    "devices waiting": (Grant(("logs",), ("logs:FilterLogEvents",)),),
    "devices clean": (
        *_SEE_DEVICES,
        Grant(("things",), ("iot:DescribeThing",)),
        *_RETIRE,
        *_DELETE_THINGS,
    ),
    "devices prune": (
        *_SEE_DEVICES,
        Grant(("certificates",), ("iot:ListAttachedPolicies",)),
        *_RETIRE,
    ),
    "send": steering.SEND,
    "run": steering.RUN,
    "explain": steering.EXPLAIN,
    "rotate start": (
        *_WHO,
        *_SEE_TEMPLATE,
        Grant(("policies",), ("iot:GetPolicy",)),
        Grant(("all",), ("iot:ListThings",)),
        Grant(("jobs",), ("iot:CreateJob", "iot:TagResource")),
    ),
    "rotate status": (
        *_SEE_CERTIFICATES,
        Grant(("all",), ("iot:ListJobs",)),
        Grant(
            ("jobs",),
            ("iot:DescribeJob", "iot:ListJobExecutionsForJob", "iot:DescribeJobExecution"),
        ),
        Grant(("things",), ("iot:ListThingPrincipals",)),
        *_RETIRE,
    ),
    "verify": (
        *_WHO,
        Grant(("policies",), ("iot:GetPolicy",)),
        Grant(("things",), ("iot:DescribeThing", "iot:UpdateThing")),
        *_SEE_TEMPLATE,
        *_ENDPOINT,
        Grant(("all",), ("iot:ListThings", "iot:CreateCertificateFromCsr")),
        Grant(("certificates",), ("iot:AttachPolicy",)),
        *_RETIRE,
        *_DELETE_THINGS,
    ),
    "rehearse": (
        *_WHO,
        *_SEE_TEMPLATE,
        *_ENDPOINT,
        Grant(("all",), ("iot:CreateCertificateFromCsr", "iot:ListPrincipalThings")),
        Grant(("certificates",), ("iot:AttachPolicy",)),
        *_RETIRE,
        *_DELETE_THINGS,
    ),
    "down": (*_SEE_FLEET, *_SEE_CLAIMS, *_SEE_DEVICES, *_RETIRE, *_DELETE_THINGS, *_DELETE_FLEET),
    "bulk": _BULK,
    "bulk reset": _BULK_RESET,
    "check": _ENDPOINT,
    "rule up": _RULE_UP,
    "rule down": _RULE_DOWN,
    "things create": (
        *_WHO,
        Grant(("things",), ("iot:CreateThing",)),
        Grant(("all",), ("iot:CreateCertificateFromCsr", "iot:AttachThingPrincipal")),
    ),
    "things send": (
        *_WHO,
        *_ENDPOINT,
        Grant(_TRIAL_POLICY, ("iot:GetPolicy", *_CHANGE_POLICY)),
        Grant(("certificates",), ("iot:AttachPolicy",)),
    ),
    "things clean": (
        *_WHO,
        Grant(("things",), ("iot:DescribeThing",)),
        Grant(("all",), ("iot:ListPrincipalThings",)),
        Grant(("certificates",), ("iot:ListAttachedPolicies",)),
        *_RETIRE,
        *_DELETE_THINGS,
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
