"""What it takes to see, make, change and delete each part of a fleet, as narrow as AWS lets it be. Pure.

Where AWS knows no resource for an action, or lists over the whole account, the resource is ``*``.
"""

from fleet_cloud.aws.grant import Grant

_ATTACHING = ("iam:AttachRolePolicy", "iam:DetachRolePolicy", "iam:ListAttachedRolePolicies")

WHO = (Grant(("all",), ("sts:GetCallerIdentity",)),)
SEE_TEMPLATE = (Grant(("template",), ("iot:DescribeProvisioningTemplate",)),)
SEE_FLEET = (
    *WHO,
    *SEE_TEMPLATE,
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
SEE_CERTIFICATES = (
    Grant(("policies",), ("iot:ListTargetsForPolicy",)),
    Grant(("all",), ("iot:ListCertificates",)),
)
SEE_CLAIMS = (
    *SEE_CERTIFICATES,
    Grant(("certificates",), ("iot:DescribeCertificate", "iot:ListAttachedPolicies")),
)
SEE_DEVICES = (
    *SEE_CERTIFICATES,
    Grant(("all",), ("iot:ListThings", "iot:ListPrincipalThings")),
    Grant(("things",), ("iot:ListThingPrincipals",)),
)
# It could be limited to one index, but a separate statement would not fit into a managed policy.
LIST = Grant(("all",), ("iot:SearchIndex",))
CHANGE_POLICY = (
    "iot:CreatePolicy",
    "iot:CreatePolicyVersion",
    "iot:ListPolicyVersions",
    "iot:DeletePolicyVersion",
    "iot:TagResource",
)
MAKE_FLEET = (
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
    Grant(("policies",), CHANGE_POLICY),
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
ENDPOINT = (Grant(("all",), ("iot:DescribeEndpoint",)),)
MAKE_CLAIM = (
    *WHO,
    *SEE_TEMPLATE,
    *ENDPOINT,
    Grant(("policies",), ("iot:GetPolicy", "iot:CreatePolicy", "iot:TagResource")),
    Grant(("all",), ("iot:CreateCertificateFromCsr", "iot:CreateKeysAndCertificate")),
    Grant(
        ("certificates",),
        ("iot:DescribeCertificate", "iot:ListAttachedPolicies", "iot:AttachPolicy"),
    ),
)
RETIRE = (
    Grant(("all",), ("iot:DetachThingPrincipal",)),
    Grant(("certificates",), ("iot:UpdateCertificate", "iot:DeleteCertificate")),
)
DELETE_THINGS = (Grant(("things",), ("iot:DeleteThing",)),)
DELETE_FLEET = (
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
    *WHO,
    Grant(("bulk role",), ("iam:GetRole",)),
    Grant(("bulk policy",), ("iot:GetPolicy",)),
    Grant(("registry",), ("iot:DescribeThingType",)),
    Grant(("bucket",), ("s3:GetBucketLocation", "s3:GetBucketTagging")),
)
BULK = (
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
    Grant(("bulk policy",), CHANGE_POLICY),
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
BULK_RESET = (
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
    *RETIRE,
    *DELETE_THINGS,
)
_SEE_RULE = (
    *WHO,
    Grant(("all",), ("iot:ListTopicRules",)),
    Grant(("rule",), ("iot:GetTopicRule",)),
    Grant(("rule role",), ("iam:GetRole", "iam:GetRolePolicy")),
)
RULE_UP = (
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
RULE_DOWN = (
    *_SEE_RULE,
    Grant(("rule",), ("iot:DeleteTopicRule",)),
    Grant(("rule role",), ("iam:ListRoleTags", "iam:DeleteRolePolicy", "iam:DeleteRole")),
    Grant(("topics",), ("sns:ListTagsForResource", "sns:DeleteTopic")),
)
