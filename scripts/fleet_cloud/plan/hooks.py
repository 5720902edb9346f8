"""The pre-provisioning hook: a Lambda function that AWS IoT asks before it registers a device."""

import base64
import hashlib
import io
import json
import zipfile
from collections.abc import Mapping
from pathlib import Path

from fleet_cloud.aws.calls import Answer, Aws, text
from fleet_cloud.aws.names import Account, FleetNames
from fleet_cloud.errors import FleetCloudError
from fleet_cloud.local.shell import Command
from fleet_cloud.plan import documents, resources
from fleet_cloud.plan.documents import Document
from fleet_cloud.plan.hook import LIST, SETTINGS
from fleet_cloud.plan.hook_settings import Settings
from fleet_cloud.plan.resources import Facts, Resource

PAYLOAD_VERSION = "2020-04-01"
FUNCTION = "hook function"
ROLE_POLICY = "registry"

_RUNTIME = "python3.12"
_PACKAGE = "fleet_cloud/plan/hook"  # as it is imported here and there
_HANDLER = f"{_PACKAGE}/handler.handler"
_SECONDS = "4"  # AWS IoT waits for five
_MEGABYTES = "512"  # with fewer Lambda gives so little of a processor that the first answer takes longer than that
_STATEMENT = "fleet-cloud"
_VARIABLES_BYTES = 4096  # AWS's limit of a function's environment

_LONGEST_AGO = (1980, 1, 1, 0, 0, 0)


def package(serials: tuple[str, ...]) -> bytes:
    """Returns the function as Lambda takes it: the same list always makes the same bytes."""
    folder = Path(__file__).with_name("hook")
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w", zipfile.ZIP_STORED) as archive:
        contents = {path.name: path.read_text("utf-8") for path in folder.glob("*.py")}
        contents[LIST] = json.dumps(serials)
        for name in sorted(contents):
            entry = zipfile.ZipInfo(f"{_PACKAGE}/{name}", _LONGEST_AGO)
            entry.external_attr = 0o644 << 16  # readable by whom Lambda runs it as
            archive.writestr(entry, contents[name])
    return made.getvalue()


def read(aws: Aws, names: FleetNames) -> Command:
    """Returns the command that describes the function."""
    return aws.command("lambda", "get-function", "--function-name", names.hook)


def settings_of(answer: Answer | None) -> object:
    """Returns the settings of a function that exists, as the companion wrote them; nothing for none."""
    environment = _configuration(answer or {}).get("Environment")
    variables = environment.get("Variables") if isinstance(environment, Mapping) else None
    found = variables.get(SETTINGS) if isinstance(variables, Mapping) else None
    return documents.parsed(found, of="the hook's settings") if isinstance(found, str) else None


def of_fleet(
    aws: Aws,
    names: FleetNames,
    account: Account,
    settings: Settings,
    serials: tuple[str, ...] | None,
    folder: Path,
) -> list[Resource]:
    """Returns the hook's role, function and permission, in the order in which they are created.

    Args:
        aws: Makes the commands.
        names: The fleet's.
        account: Where it is.
        settings: The function's settings.
        serials: The list of those that may register; nothing for the one that the function has.
        folder: Where the file that is sent to Lambda may lie.
    """
    trust = documents.lambda_trust_policy()
    logs = account.logs_policy
    allowed = documents.hook_policy(account)
    return [
        resources.any_role(aws, names, "hook role", account.role(names.hook), trust),
        resources.role_policy(aws, names.hook, logs, "hook role policy"),
        resources.inline_policy(aws, names.hook, ROLE_POLICY, allowed, "hook policy"),
        _function(aws, names, account, settings, serials, folder),
        _permission(aws, names, account),
    ]


def environment(settings: Document) -> str:
    """Returns the settings as ``aws lambda`` takes them.

    Raises:
        FleetCloudError: They are longer than Lambda allows.
    """
    value = documents.compact(settings)
    if len(value) + len(SETTINGS) > _VARIABLES_BYTES:
        raise FleetCloudError(
            f"the hook's settings have {len(value)} characters, but Lambda allows {_VARIABLES_BYTES}",
            remedy="shorten --hook-pattern, or the thing name and attributes in the template",
            code="hook-too-long",
        )
    return documents.compact({"Variables": {SETTINGS: value}})


def _configured(role: str, settings: Settings) -> tuple[str, ...]:
    return (
        *("--handler", _HANDLER),
        *("--role", role),
        *("--timeout", _SECONDS),
        *("--memory-size", _MEGABYTES),
        *("--environment", environment(settings.document())),
    )


def _function(
    aws: Aws,
    names: FleetNames,
    account: Account,
    settings: Settings,
    serials: tuple[str, ...] | None,
    folder: Path,
) -> Resource:
    named = ["--function-name", names.hook]
    path = folder / f"{names.hook}.zip"
    content = package(serials or ())
    zipped = ["--zip-file", f"fileb://{path}"]
    # A list that is only there cannot be packed again with today's code.
    is_known = serials is not None or not settings.listed
    code = base64.b64encode(hashlib.sha256(content).digest()).decode()

    def facts(answer: Answer) -> Facts:
        found = _configuration(answer)
        known = {
            name.lower(): found.get(name) for name in ("Role", "Handler", "Timeout", "MemorySize")
        }
        known["rules"] = settings_of(answer)
        return {**known, "code": found.get("CodeSha256")} if is_known else known

    wanted: dict[str, object] = {
        "role": account.role(names.hook),
        "handler": _HANDLER,
        "timeout": int(_SECONDS),
        "memorysize": int(_MEGABYTES),
        "rules": settings.document(),
    }
    configured = _configured(account.role(names.hook), settings)
    put_right = aws.command("lambda", "update-function-configuration", *named, *configured)
    return Resource(
        kind=FUNCTION,
        name=names.hook,
        read=read(aws, names),
        facts=facts,
        wanted={**wanted, "code": code} if is_known else wanted,
        create=aws.command(
            "lambda",
            "create-function",
            *named,
            *("--runtime", _RUNTIME),
            *configured,
            *zipped,
            *("--tags", f"fleet={names.fleet},made-by=fleet-cloud"),
        ),
        fixes={
            **dict.fromkeys(wanted, put_right),
            "code": aws.command("lambda", "update-function-code", *named, *zipped),
        },
        upload=(path, content),
    )


def _configuration(answer: Answer) -> Mapping[str, object]:
    found = answer.get("Configuration")
    return found if isinstance(found, Mapping) else {}


def _permission(aws: Aws, names: FleetNames, account: Account) -> Resource:
    """Returns the permission of AWS IoT, on behalf of this account, to call the function."""
    named = ["--function-name", names.hook]

    def facts(answer: Answer) -> Facts | None:
        policy = documents.parsed(text(answer, "Policy"), of=f"the policy of {names.hook}")
        statements = policy.get("Statement") if isinstance(policy, Mapping) else None
        for statement in statements if isinstance(statements, list) else ():
            if isinstance(statement, Mapping) and statement.get("Sid") == _STATEMENT:
                return {"statement": _STATEMENT}
        return None

    return Resource(
        kind="hook permission",
        name=_STATEMENT,
        read=aws.command("lambda", "get-policy", *named),
        facts=facts,
        wanted={"statement": _STATEMENT},
        create=aws.command(
            "lambda",
            "add-permission",
            *named,
            *("--statement-id", _STATEMENT),
            *("--action", "lambda:InvokeFunction"),
            *("--principal", "iot.amazonaws.com"),
            *("--source-account", account.number),
        ),
        fixes={},
    )
