"""Role aliases: made, described, changed, listed, tagged, deleted; kept beside the rest of the state."""

import json
import re
import time
from pathlib import Path
from typing import Any

from iot_sandbox import ground, routes
from iot_sandbox.refusals import Response, Route

RoleAlias = dict[str, Any]

_PATH = re.compile(r"/role-aliases(/(?P<name>[^/]+))?")
_NAME = re.compile(r"[\w=,@-]{1,128}")
_ARN = re.compile(r"arn:aws:iot:[^:]*:[^:]*:rolealias/(?P<name>.+)")
_SHORTEST, _LONGEST, _DEFAULT = 900, 43200, 3600


class RoleAliases:
    """Answers their part of the control plane.

    Args:
        file: Where they are kept.
    """

    def __init__(self, file: Path) -> None:
        self._file = file
        self._aliases: dict[str, dict[str, RoleAlias]] = {}
        if file.exists():
            self._aliases = json.loads(file.read_text())

    def of(self, account: str, region: str, name: str) -> RoleAlias | None:
        """Returns one, or None."""
        return self._aliases.get(f"{account}:{region}", {}).get(name)

    def beside(self, was: Route) -> Route:
        """Adds them to ministack's routes."""
        return routes.beside_with_tags(
            was, _PATH, _ARN, self._of_alias, lambda name: self._here().get(name), _missing
        )

    def _here(self) -> dict[str, RoleAlias]:
        scope = f"{ground.get_account_id()}:{ground.get_region()}"
        return self._aliases.setdefault(scope, {})

    def _of_alias(self, method: str, name: str | None, body: bytes) -> Response:
        if name is None:
            return ground.json_response({"roleAliases": sorted(self._here())})
        request = json.loads(body or b"{}")
        if method == "POST":
            return self._create(name, request)
        alias = self._here().get(name)
        if alias is None:
            return _missing()
        if method == "PUT":
            return self._change(alias, request)
        if method == "DELETE":
            del self._here()[name]
            self._save()
            return ground.json_response({})
        shown = {key: value for key, value in alias.items() if key != "tags"}
        return ground.json_response({"roleAliasDescription": shown})

    def _create(self, name: str, request: dict[str, Any]) -> Response:
        if name in self._here():
            message = f"Role alias {name} already exists"
            return ground.error_response_json("ResourceAlreadyExistsException", message, 409)
        scope, now = f"{ground.get_region()}:{ground.get_account_id()}", time.time()
        alias = {
            "roleAlias": name,
            "roleAliasArn": f"arn:aws:iot:{scope}:rolealias/{name}",
            "roleArn": request.get("roleArn"),
            "owner": ground.get_account_id(),
            "credentialDurationSeconds": request.get("credentialDurationSeconds", _DEFAULT),
            "creationDate": now,
            "lastModifiedDate": now,
            "tags": request.get("tags", []),
        }
        if reason := _fault(alias):
            return ground.error_response_json("InvalidRequestException", reason, 400)
        self._here()[name] = alias
        self._save()
        return _named(alias)

    def _change(self, alias: RoleAlias, request: dict[str, Any]) -> Response:
        given: RoleAlias = {
            key: request[key] for key in ("roleArn", "credentialDurationSeconds") if key in request
        }
        if reason := _fault(alias | given):
            return ground.error_response_json("InvalidRequestException", reason, 400)
        alias.update(given, lastModifiedDate=time.time())
        self._save()
        return _named(alias)

    def _save(self) -> None:
        self._file.write_text(json.dumps(self._aliases))


def _fault(alias: RoleAlias) -> str | None:
    duration = alias["credentialDurationSeconds"]
    if not _NAME.fullmatch(alias["roleAlias"]):
        return f"roleAlias failed to satisfy constraint {_NAME.pattern}"
    if not isinstance(duration, int) or not _SHORTEST <= duration <= _LONGEST:
        return f"credentialDurationSeconds is between {_SHORTEST} and {_LONGEST}"
    # Whether the role exists and trusts the service is only checked when credentials are requested.
    if not re.fullmatch(r"arn:aws[a-z-]*:iam::\d{12}:role/.+", str(alias["roleArn"])):
        return "roleArn is no ARN of a role"
    return None


def _named(alias: RoleAlias) -> Response:
    return ground.json_response({key: alias[key] for key in ("roleAlias", "roleAliasArn")})


def _missing() -> Response:
    message = "The role alias does not exist."
    return ground.error_response_json("ResourceNotFoundException", message, 404)
