"""What is in an account: to compare it before and after."""

from typing import Any

from iot_sandbox.launch import Sandbox
from support.aws import aws_client


def listing(sandbox: Sandbox) -> dict[str, Any]:
    """Everything of the account that the companion could have made or deleted."""
    iot, iam, functions, sns, s3 = (
        aws_client(sandbox, one) for one in ("iot", "iam", "lambda", "sns", "s3")
    )
    return {
        "roles": sorted(role["RoleName"] for role in iam.list_roles()["Roles"]),
        "policies": sorted(one["policyName"] for one in iot.list_policies()["policies"]),
        "templates": sorted(
            one["templateName"] for one in iot.list_provisioning_templates()["templates"]
        ),
        "certificates": sorted(
            (one["certificateId"], one["status"])
            for one in iot.list_certificates()["certificates"]
        ),
        "CAs": sorted(one["certificateId"] for one in iot.list_ca_certificates()["certificates"]),
        "things": sorted(one["thingName"] for one in iot.list_things()["things"]),
        "types": sorted(one["thingTypeName"] for one in iot.list_thing_types()["thingTypes"]),
        "groups": sorted(one["groupName"] for one in iot.list_thing_groups()["thingGroups"]),
        "billing groups": sorted(
            one["groupName"] for one in iot.list_billing_groups()["billingGroups"]
        ),
        "functions": sorted(
            one["FunctionName"] for one in functions.list_functions()["Functions"]
        ),
        "rules": sorted(one["ruleName"] for one in iot.list_topic_rules()["rules"]),
        "topics": sorted(one["TopicArn"] for one in sns.list_topics()["Topics"]),
        "buckets": sorted(one["Name"] for one in s3.list_buckets()["Buckets"]),
    }
