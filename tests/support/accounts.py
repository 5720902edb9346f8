"""What is in an account: to compare it before and after."""

from typing import Any

from iot_sandbox.launch import Sandbox
from support.aws import aws_client


def listing(sandbox: Sandbox) -> dict[str, Any]:
    """Everything of the account that the companion could have made or deleted."""
    iot, iam, functions, sns, s3 = (
        aws_client(sandbox, each) for each in ("iot", "iam", "lambda", "sns", "s3")
    )
    return {
        "roles": sorted(role["RoleName"] for role in iam.list_roles()["Roles"]),
        "policies": sorted(policy["policyName"] for policy in iot.list_policies()["policies"]),
        "templates": sorted(
            template["templateName"] for template in iot.list_provisioning_templates()["templates"]
        ),
        "certificates": sorted(
            (certificate["certificateId"], certificate["status"])
            for certificate in iot.list_certificates()["certificates"]
        ),
        "CAs": sorted(
            certificate["certificateId"]
            for certificate in iot.list_ca_certificates()["certificates"]
        ),
        "things": sorted(thing["thingName"] for thing in iot.list_things()["things"]),
        "types": sorted(kind["thingTypeName"] for kind in iot.list_thing_types()["thingTypes"]),
        "groups": sorted(group["groupName"] for group in iot.list_thing_groups()["thingGroups"]),
        "billing groups": sorted(
            group["groupName"] for group in iot.list_billing_groups()["billingGroups"]
        ),
        "functions": sorted(
            function["FunctionName"] for function in functions.list_functions()["Functions"]
        ),
        "rules": sorted(rule["ruleName"] for rule in iot.list_topic_rules()["rules"]),
        "topics": sorted(topic["TopicArn"] for topic in sns.list_topics()["Topics"]),
        "buckets": sorted(bucket["Name"] for bucket in s3.list_buckets()["Buckets"]),
    }
