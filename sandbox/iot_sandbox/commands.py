"""AWS IoT Commands: what operators make, list and deprecate. ministack has none; these live in memory only."""

import json
import re
import time

from iot_sandbox import command_payloads, ground, routes
from iot_sandbox.command_payloads import CommandError
from iot_sandbox.refusals import (
    Document,
    RefusedError,
    Response,
    Route,
    invalid,
    missing,
    page,
)
from iot_sandbox.routes import Asked

_PATH = re.compile(r"/commands(/(?P<id>[a-zA-Z0-9_-]{1,64}))?")
_NAMESPACE = "AWS-IoT"
# A deprecated command is deleted once no execution of it can still be running.
LONGEST_EXECUTION = 43_200
_SUMMARY = (
    "commandArn", "commandId", "displayName", "deprecated", "createdAt", "lastUpdatedAt", "pendingDeletion",
)  # fmt: skip
_KEPT = (
    "displayName", "description", "payload", "payloadTemplate", "preprocessor", "mandatoryParameters", "roleArn",
)  # fmt: skip


class Commands:
    """Answers their part of the control plane."""

    def __init__(self) -> None:
        self._commands: dict[tuple[str, str], dict[str, Document]] = {}

    def beside(self, was: Route) -> Route:
        """Adds them to ministack's routes."""
        return routes.beside(was, _PATH, self._of)

    def by_arn(self, arn: str) -> Document | None:
        """Returns a command of this account and region."""
        here = self._here()
        return next((each for each in here.values() if each["commandArn"] == arn), None)

    async def _of(self, asked: Asked) -> Response:
        body, identifier = asked.body, asked.found["id"]
        match asked.method, identifier:
            case "GET", None:
                return self._listed(asked.words)
            case "PUT", str():
                return self._create(identifier, json.loads(body or b"{}"))
            case "DELETE", str():
                return self._delete(identifier)
            case "PATCH", str():
                return self._update(self._existing(identifier), json.loads(body or b"{}"))
            case "GET", str():
                return ground.json_response(self._existing(identifier))
            case _:
                raise invalid(f"Unsupported IoT path: {asked.method} /commands")

    def _here(self) -> dict[str, Document]:
        scope = ground.get_account_id(), ground.get_region()
        commands = self._commands.setdefault(scope, {})
        for identifier, command in [*commands.items()]:
            ended = command["lastUpdatedAt"] + LONGEST_EXECUTION
            if command["pendingDeletion"] and ended <= time.time():
                del commands[identifier]
        return commands

    def _create(self, identifier: str, request: Document) -> Response:
        here = self._here()
        if request.get("namespace", _NAMESPACE) != _NAMESPACE:
            raise invalid("The sandbox has commands of the namespace AWS-IoT")
        try:
            command_payloads.check(request)
        except CommandError as error:
            raise invalid(str(error)) from error
        made = {key: request[key] for key in _KEPT if key in request}
        if identifier in here:
            if all(here[identifier].get(key) == request.get(key) for key in _KEPT):
                return _named(here[identifier])
            raise RefusedError("ConflictException", f"The command {identifier} exists", 409)
        now = time.time()
        here[identifier] = {
            "commandId": identifier,
            "commandArn": f"arn:aws:iot:{ground.get_region()}:{ground.get_account_id()}:command/{identifier}",
            "namespace": _NAMESPACE,
            **made,
            "createdAt": now,
            "lastUpdatedAt": now,
            "deprecated": False,
            "pendingDeletion": False,
        }
        return _named(here[identifier])

    def _existing(self, identifier: str) -> Document:
        command = self._here().get(identifier)
        if command is None:
            raise missing(f"There is no command {identifier}")
        return command

    @staticmethod
    def _update(command: Document, request: Document) -> Response:
        if command["pendingDeletion"]:
            raise RefusedError("ConflictException", "The command is being deleted", 409)
        changed = {"displayName", "description", "deprecated"} & set(request)
        command.update({key: request[key] for key in changed})
        command["lastUpdatedAt"] = time.time()
        shown = ("commandId", "displayName", "description", "deprecated", "lastUpdatedAt")
        return ground.json_response({key: command[key] for key in shown if key in command})

    def _delete(self, identifier: str) -> Response:
        here = self._here()
        command = here.get(identifier)
        age = time.time() - command["lastUpdatedAt"] if command else LONGEST_EXECUTION
        if command is None or not command["deprecated"] or age >= LONGEST_EXECUTION:
            here.pop(identifier, None)
            return 204, {}, b""
        command["pendingDeletion"] = True
        return 202, {}, b""

    def _listed(self, query: dict[str, str]) -> Response:
        found = sorted(self._here().values(), key=lambda each: each["createdAt"])
        if query.get("sortOrder") != "ASCENDING":
            found.reverse()
        summaries = [{key: each[key] for key in _SUMMARY if key in each} for each in found]
        return page("commands", summaries, query)


def _named(command: Document) -> Response:
    return ground.json_response({key: command[key] for key in ("commandId", "commandArn")})
