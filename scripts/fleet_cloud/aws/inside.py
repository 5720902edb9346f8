"""Runs the words of the AWS CLI in this process where botocore is: a process of its own takes half a second.

The same commands are printed, and the same words come back when AWS refuses.
"""

import functools
import json
import threading
from typing import Any

from fleet_cloud.errors import CommandError
from fleet_cloud.local.shell import Command, Shell

# The CLI's own flags; the rest are the operation's.
_GLOBAL = ("--profile", "--region", "--endpoint-url", "--output")
_TRIES = 10  # a throttled call is tried again, slower and slower


class InsideShell(Shell):
    """Runs ``aws iot`` commands by botocore, everything else, or without botocore everything, as programs."""

    _lock = threading.Lock()

    def run(self, command: Command) -> str:
        """Runs a command and returns what it printed.

        Raises:
            CommandError: It failed; ``said`` has its words.
        """
        words = [str(word) for word in command.words]
        if words[:2] != ["aws", "iot"] or command.into or not _is_here():
            return super().run(command)
        flags = dict(zip(words[3::2], words[4::2], strict=True))
        where = tuple(flags.pop(name, "") for name in _GLOBAL)
        with self._lock:
            client = _client(*where[:3])
        # Another botocore than the CLI's raises what it likes, and its text is the CLI's.
        try:
            answer = _call(client, words[2], flags)
        except Exception as error:
            raise CommandError(
                f"{' '.join(words[:3])} failed",
                remedy="run the command above by hand to look further",
                code="command-failed",
                command=str(command),
                said=str(error),
            ) from error
        return json.dumps(answer, default=str)


@functools.cache
def _is_here() -> bool:
    try:
        import botocore.session
    except ImportError:
        return False
    return botocore.session is not None


@functools.cache
def _client(profile: str, region: str, endpoint: str) -> Any:  # noqa: ANN401 - made as it runs
    import botocore.session
    from botocore.config import Config

    session = botocore.session.Session(profile=profile or None)
    retries = {"mode": "adaptive", "total_max_attempts": _TRIES}
    return session.create_client(
        "iot", region_name=region, endpoint_url=endpoint or None, config=Config(retries=retries)
    )


def _call(client: Any, operation: str, flags: dict[str, str]) -> Any:  # noqa: ANN401
    from botocore import xform_name

    method = operation.replace("-", "_")
    model = client.meta.service_model.operation_model(client.meta.method_to_api_mapping[method])
    members = model.input_shape.members
    named = {f"--{xform_name(name, '-')}": name for name in members}
    given = {
        named[flag]: _value(members[named[flag]].type_name, text) for flag, text in flags.items()
    }
    if client.can_paginate(method):
        return client.get_paginator(method).paginate(**given).build_full_result()
    answer = getattr(client, method)(**given)
    return {name: value for name, value in answer.items() if name != "ResponseMetadata"}


def _value(kind: str, text: str) -> object:
    if kind == "string":
        return text
    found: object = json.loads(text)
    return found
