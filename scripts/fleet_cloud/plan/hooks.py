"""The pre-provisioning hook: a Lambda function that AWS IoT asks before it registers a device."""

import base64
import dataclasses
import hashlib
import io
import json
import re
import zipfile
from collections.abc import Mapping
from pathlib import Path

from fleet_cloud.aws.calls import Answer, Aws, text
from fleet_cloud.aws.names import Account, FleetNames
from fleet_cloud.errors import UsageError
from fleet_cloud.local import files
from fleet_cloud.plan import documents, resources
from fleet_cloud.plan.resources import Facts, Resource

PAYLOAD_VERSION = "2020-04-01"
SERIAL_PARAMETER = "SerialNumber"

_RUNTIME = "python3.12"
_HANDLER = "handler.handler"
_SECONDS = "4"  # AWS IoT waits for five
_STATEMENT = "fleet-cloud"
_SEPARATORS = ((",", "comma"), (";", "semicolon"), ('"', "quote"), ("'", "quote"), ("\t", "tab"))
_SHOWN = 5  # faulty lines of a list

_LONGEST_AGO = (1980, 1, 1, 0, 0, 0)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Rules:
    """Which serial numbers may register: those on the list, and those that match the pattern."""

    allow: tuple[str, ...] | None = None
    pattern: str | None = None


def read_rules(allow_file: Path | None, pattern: str | None) -> Rules | None:
    """Returns the rules that the flags say, or nothing when they say none.

    Raises:
        UsageError: The file is not there or empty, or the pattern is none.
    """
    if allow_file is None and pattern is None:
        return None
    if pattern is not None:
        try:
            re.compile(pattern)
        except re.error as error:
            raise UsageError(
                f"--hook-pattern {pattern!r} is no regular expression: {error}",
                remedy="write it as Python does, such as 'BIN-[0-9]{6}'",
            ) from error
    return Rules(allow=_serials(allow_file) if allow_file else None, pattern=pattern)


def _serials(path: Path) -> tuple[str, ...]:
    listed = files.read(path)
    lines = [line.strip() for line in (listed or "").split("\n")]
    named = [(number, line) for number, line in enumerate(lines, 1) if line and line[0] != "#"]
    wrong = [f"line {number}: {line!r}{why}" for number, line in named if (why := _fault(line))]
    if wrong:
        more = [f"and {len(wrong) - _SHOWN} more"] * (len(wrong) > _SHOWN)
        raise UsageError(
            f"--hook-allow {path} is not one serial number a line:",
            remedy="write one serial number a line, and a remark on a line of its own that begins with #",
            details=[*wrong[:_SHOWN], *more],
        )
    serials = tuple(sorted({line for _, line in named}))
    if not serials:
        what = "there is no such file" if listed is None else "names no serial number"
        raise UsageError(
            f"--hook-allow {path}: {what}",
            remedy="write one serial number a line; # begins a remark",
        )
    return serials


def _fault(serial: str) -> str | None:
    """Returns what makes a line no serial number, or nothing: a device would be refused, and nobody would know why."""
    if "#" in serial:
        return " has a remark in it"
    for character, name in _SEPARATORS:
        if character in serial:
            return f" has a {name} in it"
    if not serial.isprintable() or any(map(str.isspace, serial)):
        return " has a blank or a control character in it"
    return None


def package(rules: Rules) -> bytes:
    """Returns the function as Lambda takes it: the same rules always make the same bytes."""
    rule = {"parameter": SERIAL_PARAMETER, **dataclasses.asdict(rules)}
    code = Path(__file__).with_name("hook").joinpath("handler.py").read_text(encoding="utf-8")
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w", zipfile.ZIP_STORED) as archive:
        for name, content in (("handler.py", code), ("rules.json", json.dumps(rule))):
            entry = zipfile.ZipInfo(name, _LONGEST_AGO)
            entry.external_attr = 0o644 << 16  # readable by whom Lambda runs it as
            archive.writestr(entry, content)
    return made.getvalue()


def of_fleet(
    aws: Aws, names: FleetNames, account: Account, rules: Rules | None, folder: Path
) -> list[Resource]:
    """Returns the hook's role, function and permission, in the order in which they are made.

    Args:
        aws: Makes the commands.
        names: The fleet's.
        account: Where it is.
        rules: What the function is to decide; nothing for whatever the function that is there decides.
        folder: Where the file that is sent to Lambda may lie.
    """
    trust = documents.lambda_trust_policy()
    logs = account.managed_policy("service-role/AWSLambdaBasicExecutionRole")
    return [
        resources.any_role(aws, names, "hook role", account.role(names.hook), trust),
        resources.role_policy(aws, names.hook, logs, "hook role policy"),
        _function(aws, names, account, rules, folder),
        _permission(aws, names, account),
    ]


def _function(
    aws: Aws, names: FleetNames, account: Account, rules: Rules | None, folder: Path
) -> Resource:
    named = ["--function-name", names.hook]
    path = folder / f"{names.hook}.zip"
    content = package(rules) if rules else b""
    code = base64.b64encode(hashlib.sha256(content).digest()).decode()
    zipped = ["--zip-file", f"fileb://{path}"]

    def facts(answer: Answer) -> Facts:
        found = answer.get("Configuration")
        configuration = found if isinstance(found, Mapping) else {}
        known = {name.lower(): configuration.get(name) for name in ("Role", "Handler", "Timeout")}
        return {**known, "code": configuration.get("CodeSha256")} if rules else known

    wanted: dict[str, object] = {
        "role": account.role(names.hook),
        "handler": _HANDLER,
        "timeout": int(_SECONDS),
    }
    configured = (
        *("--handler", _HANDLER),
        *("--role", account.role(names.hook)),
        *("--timeout", _SECONDS),
    )
    put_right = aws.command("lambda", "update-function-configuration", *named, *configured)
    return Resource(
        kind="hook function",
        name=names.hook,
        read=aws.command("lambda", "get-function", *named),
        facts=facts,
        wanted={**wanted, "code": code} if rules else wanted,
        create=aws.command(
            "lambda",
            "create-function",
            *named,
            *("--runtime", _RUNTIME),
            *configured,
            *zipped,
            *("--tags", f"fleet={names.fleet},made-by=fleet-cloud"),
        ),
        mend={
            **dict.fromkeys(wanted, put_right),
            "code": aws.command("lambda", "update-function-code", *named, *zipped),
        },
        upload=(path, content),
    )


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
        mend={},
    )
