"""AWS's managed job templates, which ministack lacks: named, described, and made into a job's document."""

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from iot_sandbox import ground, routes
from iot_sandbox.refusals import (
    Document,
    RefusedError,
    Response,
    Route,
    missing,
    page,
)
from iot_sandbox.routes import Asked
from iot_sandbox.switches import EMPTY, NO_MEMBER

VERSION = "1.0"
_PATH = re.compile(r"/managed-job-templates(/(?P<name>[^/]+))?")
_ARN = re.compile(
    r"arn:aws:iot:(?P<region>[^:]*)::jobtemplate/(?P<name>[^:/]+):(?P<version>[^:/]+)"
)
_PLACEHOLDER = re.compile(r"\$\{aws:iot:parameter:(\w+)\}")
_LONGEST_VALUE = 30_720
_EXAMPLES = {
    "command": "touch,/run/seen",
    "downloadUrl": "https://example.com/file",
    "filePath": "/opt/file",
    "packages": "jq htop",
    "services": "ssh nginx",
    "pathToHandler": "/opt/handlers",
    "runAsUser": "operator",
}
_OPTIONAL = ("runAsUser", "pathToHandler")


@dataclass(frozen=True)
class Template:
    """One of them.

    Attributes:
        name: as its ARN has it.
        does: what it is for.
        handler: the script that its step names; None for the one that runs a command.
        needs: the parameters that must be given, in the order of the script's arguments.
    """

    name: str
    does: str
    handler: str | None
    needs: tuple[str, ...]

    @property
    def parameters(self) -> tuple[str, ...]:
        """All that may be given."""
        return (*self.needs, *(_OPTIONAL if self.handler else _OPTIONAL[:1]))

    def document(self) -> Document:
        """Returns the document with a placeholder for each parameter."""
        given = [f"${{aws:iot:parameter:{name}}}" for name in self.parameters]
        values = dict(zip(self.parameters, given, strict=True))
        wanted: Document
        if self.handler:
            wanted = {"handler": self.handler, "path": values["pathToHandler"]}
            wanted |= {"args": [values[name] for name in self.needs]} if self.needs else {}
        else:
            wanted = {"command": values["command"]}
        action = {
            "name": self.name.removeprefix("AWS-"),
            "type": "runHandler" if self.handler else "runCommand",
            "input": wanted,
            "runAsUser": values["runAsUser"],
        }
        return {"version": VERSION, "steps": [{"action": action}]}

    def summary(self) -> Document:
        """Returns what the list says of it."""
        return {
            "templateArn": f"arn:aws:iot:{ground.get_region()}::jobtemplate/{self.name}:{VERSION}",
            "templateName": self.name,
            "description": self.does,
            "environments": ["LINUX"],
            "templateVersion": VERSION,
        }

    def description(self) -> Document:
        """Returns all there is to know of it."""
        parameters = [
            {
                "key": name,
                "description": f"The job's {name}",
                "regex": r"[^\p{C}]+",
                "example": _EXAMPLES[name],
                "optional": name in _OPTIONAL,
            }
            for name in self.parameters
        ]
        document = json.dumps(self.document())
        return {**self.summary(), "documentParameters": parameters, "document": document}

    def filled(self, given: Mapping[str, str], omitted: str) -> str:
        """Returns a job's document.

        Args:
            given: the parameters.
            omitted: what an optional one leaves that is not given, as the switch ``jobs-omitted`` has it.

        Raises:
            RefusedError: one is missing, unknown or too long.
        """
        for name, value in given.items():
            if name not in self.parameters or len(value) > _LONGEST_VALUE:
                raise _wrong(f"The document parameter {name} is not valid for {self.name}")
        for name in self.needs:
            if not given.get(name):
                raise _wrong(f"The document parameter {name} of {self.name} is required")
        lacking = dict.fromkeys(_OPTIONAL, "") if omitted == EMPTY else {}
        values = {**lacking, **given}

        def fill(value: Any) -> Any:  # noqa: ANN401  JSON
            match value:
                case dict():
                    return {
                        key: fill(each)
                        for key, each in value.items()
                        if omitted != NO_MEMBER or not _is_lacking(each, values)
                    }
                case list():
                    return [fill(each) for each in value]
                case _:
                    return _PLACEHOLDER.sub(lambda found: values.get(found[1], found[0]), value)

        return json.dumps(fill(self.document()))


def _is_lacking(value: object, values: Mapping[str, str]) -> bool:
    found = _PLACEHOLDER.fullmatch(value) if isinstance(value, str) else None
    return found is not None and found[1] not in values


_SERVICES, _PACKAGES = ("services",), ("packages",)
TEMPLATES = {
    template.name: template
    for template in (
        Template("AWS-Download-File", "Downloads a file.", "download-file.sh", ("downloadUrl", "filePath")),
        Template("AWS-Install-Application", "Installs packages.", "install-packages.sh", _PACKAGES),
        Template("AWS-Remove-Application", "Removes packages.", "remove-packages.sh", _PACKAGES),
        Template("AWS-Start-Application", "Starts services.", "start-services.sh", _SERVICES),
        Template("AWS-Stop-Application", "Stops services.", "stop-services.sh", _SERVICES),
        Template("AWS-Restart-Application", "Restarts services.", "restart-services.sh", _SERVICES),
        Template("AWS-Reboot", "Reboots the device.", "reboot.sh", ()),
        Template("AWS-Run-Command", "Runs a command.", None, ("command",)),
    )
}  # fmt: skip

Made = tuple[Document | None, Response | None]


def beside(was: Route) -> Route:
    """Adds their two calls to ministack's routes."""
    return routes.beside(was, _PATH, _of, "GET")


async def _of(asked: Asked) -> Response:
    name, query = asked.found["name"], asked.words
    if name is None:
        wanted = query.get("templateName")
        found = [each.summary() for each in TEMPLATES.values() if wanted in (None, each.name)]
        return page("managedJobTemplates", found, query)
    return ground.json_response(
        _existing(name, query.get("templateVersion", VERSION)).description()
    )


def _existing(name: str, version: str) -> Template:
    template = TEMPLATES.get(name)
    if template is None or version != VERSION:
        raise missing(f"There is no managed job template {name}:{version}")
    return template


def _wrong(message: str) -> RefusedError:
    return RefusedError("InvalidRequestException", message, 400)


def with_managed(was: Callable[[Document], Made], omitted: str) -> Callable[[Document], Made]:
    """Puts the document of the managed template that it names into a job's request; ``omitted`` as of ``filled``."""

    def applied(request: Document) -> Made:
        found = _ARN.fullmatch(request["jobTemplateArn"])
        if not found or found["region"] != ground.get_region():
            return was(request)
        try:
            if request.get("document") or request.get("documentSource"):
                raise _wrong("A job of a managed template has no document of its own")
            template = _existing(found["name"], found["version"])
            document = template.filled(request.get("documentParameters") or {}, omitted)
        except RefusedError as error:
            return None, ground.error_response_json(error.code, str(error), error.status)
        return {**request, "document": document}, None

    return applied
