"""What the template is to be, from what is said now and what an earlier run said."""

import json
from typing import Any

from fleet_cloud.aws.names import FleetNames
from fleet_cloud.plan import documents, templates
from fleet_cloud.plan.documents import Registry
from fleet_cloud.plan.templates import Design, TemplateFlags

NAMES = FleetNames("fleet")
ROLE = "arn:aws:iam::1:role/fleet-provisioning"
HOOK = "arn:aws:lambda:eu-west-1:1:function:fleet-hook"
OWN = {**documents.template_body(NAMES), "DeviceConfiguration": {"Color": "red"}}


def described(of: Design) -> dict[str, Any]:
    """Returns what AWS would say of a template that was made so."""
    hook = {"preProvisioningHook": {"targetArn": of.hook}} if of.hook else {}
    return {
        "templateBody": json.dumps(of.body),
        "provisioningRoleArn": ROLE,
        "enabled": True,
        "description": of.description,
        **hook,
    }


def test_template_is_the_default_one_unless_something_is_said() -> None:
    made = templates.design(NAMES, None, TemplateFlags())
    assert (made.body, made.hook) == (documents.template_body(NAMES), "")
    assert templates.design(NAMES, described(made), TemplateFlags()) == made


def test_type_groups_and_hook_of_an_earlier_run_are_kept_and_added_to() -> None:
    first = TemplateFlags(registry=Registry(thing_type="bike", thing_group="north"), hook=HOOK)
    made = templates.design(NAMES, None, first)
    assert templates.design(NAMES, described(made), TemplateFlags()) == made
    more = templates.design(
        NAMES, described(made), TemplateFlags(registry=Registry(billing_group="b"))
    )
    assert more.registry == Registry(thing_type="bike", thing_group="north", billing_group="b")
    assert more.hook == HOOK
    back = templates.design(NAMES, described(made), TemplateFlags(forget=True, hook=""))
    assert back == templates.design(NAMES, None, TemplateFlags())


def test_own_body_is_kept_without_its_file() -> None:
    made = templates.design(NAMES, None, TemplateFlags(body=OWN))
    assert made.body == OWN
    assert templates.design(NAMES, described(made), TemplateFlags()) == made


def test_own_body_that_somebody_changed_since_is_not_taken_for_it() -> None:
    made = templates.design(NAMES, None, TemplateFlags(body=OWN))
    changed = described(made) | {"templateBody": json.dumps(documents.template_body(NAMES))}
    wanted = templates.design(NAMES, changed, TemplateFlags())
    assert wanted.description == made.description
    assert wanted.body != documents.template_body(NAMES)
    assert templates.design(NAMES, changed, TemplateFlags(body=OWN)) == made
    assert templates.design(
        NAMES, changed, TemplateFlags(forget=True)
    ).body == documents.template_body(NAMES)


def test_names_in_an_own_body_are_made_before_the_first_device() -> None:
    own = documents.template_body(NAMES, Registry(thing_type="bike"))
    assert templates.design(NAMES, None, TemplateFlags(body=own)).registry == Registry(
        thing_type="bike"
    )
