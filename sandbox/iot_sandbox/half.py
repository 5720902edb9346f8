"""Registrations that fail half-way: what a template says of that, and what they may leave."""

from collections.abc import Mapping
from typing import Any

from iot_sandbox import ground


def is_failing(scope: tuple[str, str], template: str | None) -> bool:
    """Whether a template's thing says FAIL for the attributes of one that exists."""
    with ground.request_scope(*scope):
        found = ground.template_of(template or "")
    resources = found[1].get("Resources") if found else None
    return any(
        resource.get("OverrideSettings", {}).get("AttributePayload") == "FAIL"
        for resource in (resources or {}).values()
        if isinstance(resource, Mapping)
    )


def leave_thing(scope: tuple[str, str], template: str | None, request: Mapping[str, Any]) -> None:
    """Makes the thing of a registration that failed after that step."""
    with ground.request_scope(*scope):
        found = ground.template_of(template or "")
        token = ground.ownership_tokens.get(request.get("certificateOwnershipToken"))
        if not found or not token:
            return
        parameters = request.get("parameters") or {}
        plan = ground.plan_of(found[0], parameters, token["certificateId"])
        if plan["thing"]:
            properties, _ = plan["thing"]
            attributes = {"attributes": properties.get("AttributePayload") or {}}
            ground.create_thing(properties["ThingName"], {"attributePayload": attributes})
