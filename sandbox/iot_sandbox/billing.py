"""Billing groups: made, described, listed, tagged, deleted. ministack has none; these live in memory only."""

import json
import re
import uuid
from typing import Any

from iot_sandbox import ground, routes
from iot_sandbox.refusals import Response, Route

_PATH = re.compile(r"/billing-groups(/(?P<name>[a-zA-Z0-9:_-]{1,128}))?")
_ARN = re.compile(r"arn:aws:iot:[^:]*:[^:]*:billinggroup/(?P<name>.+)")


class BillingGroups:
    """Answers their part of the control plane."""

    def __init__(self) -> None:
        self._groups: dict[tuple[str, str], dict[str, dict[str, Any]]] = {}

    def beside(self, was: Route) -> Route:
        """Adds them to ministack's routes."""
        return routes.beside_with_tags(
            was, _PATH, _ARN, self._of_group, lambda name: self._here().get(name), _missing
        )

    def _here(self) -> dict[str, dict[str, Any]]:
        return self._groups.setdefault((ground.get_account_id(), ground.get_region()), {})

    def _of_group(self, method: str, name: str | None, body: bytes) -> Response:
        groups = self._here()
        match method, name:
            case "GET", None:
                listed = [_named(group) for group in groups.values()]
                return ground.json_response({"billingGroups": listed})
            case "POST", str():
                return self._create(name, json.loads(body or b"{}"))
            case "GET", str():
                group = groups.get(name)
                if group is None:
                    return _missing()
                return ground.json_response({k: v for k, v in group.items() if k != "tags"})
            case "DELETE", str():
                groups.pop(name, None)  # AWS deletes what is not there, too
                return ground.json_response({})
            case _:
                message = f"Unsupported IoT path: {method} /billing-groups"
                return ground.error_response_json("InvalidRequestException", message, 400)

    def _create(self, name: str, request: dict[str, Any]) -> Response:
        groups, asked = self._here(), request.get("tags", [])
        if name in groups and groups[name]["tags"] != asked:
            message = (
                f"Billing Group {name} already exists in current account with different tags."
            )
            return ground.error_response_json("ResourceAlreadyExistsException", message, 409)
        scope = f"{ground.get_region()}:{ground.get_account_id()}"
        group = groups.setdefault(
            name,
            {
                "billingGroupName": name,
                "billingGroupId": str(uuid.uuid4()),
                "billingGroupArn": f"arn:aws:iot:{scope}:billinggroup/{name}",
                "version": 1,
                "billingGroupProperties": request.get("billingGroupProperties", {}),
                "tags": asked,
            },
        )
        keys = ("billingGroupName", "billingGroupArn", "billingGroupId")
        return ground.json_response({key: group[key] for key in keys})


def _named(group: dict[str, Any]) -> dict[str, Any]:
    return {"groupName": group["billingGroupName"], "groupArn": group["billingGroupArn"]}


def _missing() -> Response:
    message = "The requested billing group does not exist."
    return ground.error_response_json("ResourceNotFoundException", message, 404)
