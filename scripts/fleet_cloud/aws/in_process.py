"""Makes calls by botocore, in this process: a hundredth of what a process of ``aws`` costs.

What a call answers is printed as ``aws`` prints it, and what fails says the words that ``aws`` says: it is botocore
that says them there, too.
"""

import importlib.util
import json
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from fleet_cloud.aws.call import Call, Where
from fleet_cloud.aws.pace import Pace
from fleet_cloud.errors import COMMAND_FAILED, CommandError
from fleet_cloud.local.shell import Command

if TYPE_CHECKING:
    from botocore.session import Session

# Threads that each have a call under way: at 100 ms an answer these make 160 calls a second, and no quota of what is
# asked a thing but DescribeThing's allows more.
AT_ONCE = 16

# AWS answers within seconds; without an answer the call is repeated twice.
_CONNECT_SECONDS, _ANSWER_SECONDS = 10, 30
_MOST_SILENCES = 3
_MOST_TRIES = 5
# Throttled calls wait: the pace falls with every such answer, so the throttling ends.
_MOST_THROTTLED = 30
_LONGEST_PAUSE_SECONDS = 10.0
_SERVERS_FAULT = 500
_THROTTLED = {
    "Throttling",
    "ThrottlingException",
    "ThrottledException",
    "TooManyRequestsException",
    "RequestLimitExceeded",
    "SlowDown",
}


def is_available() -> bool:
    """Whether botocore can be imported."""
    return importlib.util.find_spec("botocore") is not None


class InProcess:
    """Makes calls.

    Args:
        clock: Returns seconds that only increase.
        sleep: Waits.
    """

    def __init__(
        self,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._sleep = sleep
        self._clock = clock
        self._lock = threading.Lock()
        self._sessions: dict[str | None, Session] = {}
        self._clients: dict[tuple[str, Where], Any] = {}
        self._paces: dict[Where, Pace] = {}

    def region(self, profile: str | None) -> str | None:
        """Returns the region of the AWS configuration, if it has one."""
        from botocore.exceptions import BotoCoreError

        try:
            return cast("str | None", self._session(profile).get_config_variable("region"))
        except BotoCoreError:
            return None  # as the CLI says "not set"; a bad profile shows at the next call

    def run(self, command: Command, values: Mapping[str, str]) -> str:
        """Makes a call; returns what ``aws`` would print.

        Args:
            command: A :class:`Call`.
            values: Of the variables in it.

        Raises:
            CommandError: It failed; ``said`` has its words.
        """
        call = cast("Call", command)
        try:
            answer = self._answer(call, values)
        except Exception as error:  # whatever botocore makes of what answers
            raise CommandError(
                f"aws {call.service} {call.operation} failed",
                remedy="run the command above by hand to find out more",
                code=COMMAND_FAILED,
                command=str(call),
                said=_words(error),
            ) from error
        return _printed(call, answer)

    def _answer(self, call: Call, values: Mapping[str, str]) -> dict[str, Any]:
        from fleet_cloud.aws import shapes

        with self._lock:
            client = self._client(call.service, call.where)
        method = call.operation.replace("-", "_")
        name = client.meta.method_to_api_mapping.get(method)
        if name is None:
            raise ValueError(f"argument operation: Invalid choice: {call.operation}")
        model = client.meta.service_model.operation_model(name)
        given = shapes.arguments(model, call.parameters, values)
        answer: dict[str, Any]
        if client.can_paginate(method):
            paging = {"PageSize": self._page(call.where.profile, model)}
            pages = client.get_paginator(method).paginate(**given, PaginationConfig=paging)
            answer = pages.build_full_result()
        else:
            answer = getattr(client, method)(**given)
        answer.pop("ResponseMetadata", None)
        for flag, words in call.parameters:
            if flag in shapes.OUTFILES:
                Path(str(words[0])).write_text(answer[shapes.OUTFILES[flag]], encoding="utf-8")
        return answer

    def _page(self, profile: str | None, model: Any) -> int | None:  # noqa: ANN401 - botocore's own
        """Returns the largest page that a listing gives: what AWS takes unless it is said is a tenth of that."""
        pages = self._session(profile).get_paginator_model(model.service_model.service_name)
        limit = pages.get_paginator(model.name).get("limit_key")
        shape = model.input_shape.members.get(limit) if limit else None
        # A limit that is text in the model would be refused as a number, and an unknown limit is not guessed.
        most = shape.metadata.get("max") if shape and shape.type_name == "integer" else None
        return int(most) if most else None

    def _client(self, name: str, where: Where) -> Any:  # noqa: ANN401 - botocore makes its classes
        from botocore.config import Config

        from fleet_cloud.aws import shapes

        if (name, where) not in self._clients:
            client = self._session(where.profile).create_client(
                shapes.service(name),
                region_name=where.region,
                endpoint_url=where.endpoint_url,
                config=Config(
                    connect_timeout=_CONNECT_SECONDS,
                    read_timeout=_ANSWER_SECONDS,
                    max_pool_connections=AT_ONCE,
                    # Retries are decided here, at the pace that all calls share.
                    retries={"mode": "standard", "total_max_attempts": 1},
                ),
            )
            # Amazon's quotas do not apply to another endpoint.
            pace = self._paces.setdefault(where, Pace(self._clock, known=not where.endpoint_url))
            pacing = _Pacing(pace, self._sleep)
            client.meta.events.register("before-call", pacing.before)
            client.meta.events.register("needs-retry", pacing.again)
            self._clients[name, where] = client
        return self._clients[name, where]

    def _session(self, profile: str | None) -> "Session":
        from botocore.session import Session

        if profile not in self._sessions:
            session = Session(profile=profile)
            session.user_agent_name = "fleet-cloud"
            # A time stays as AWS wrote it, as in the CLI's output.
            session.get_component("response_parser_factory").set_parser_defaults(
                timestamp_parser=lambda value: value
            )
            self._sessions[profile] = session
        return self._sessions[profile]


class _Pacing:
    """Holds the calls of a client to a pace, each page of a listing too."""

    def __init__(self, pace: Pace, sleep: Callable[[float], None]) -> None:
        self._pace, self._sleep = pace, sleep

    def before(self, model: Any, **_: object) -> None:  # noqa: ANN401 - botocore's own
        seconds = self._pace.reserve(model.name)
        if seconds > 0:
            self._sleep(seconds)

    def again(
        self,
        operation: Any,  # noqa: ANN401 - botocore's own
        attempts: int,
        response: tuple[Any, Mapping[str, Any]] | None,
        caught_exception: Exception | None,
        **_: object,
    ) -> float | None:
        """Returns after how many seconds it is tried again; nothing when it is not."""
        from botocore.exceptions import HTTPClientError

        pause = min(2.0 ** (attempts - 3), _LONGEST_PAUSE_SECONDS)
        if response is None:
            is_passing = isinstance(caught_exception, HTTPClientError)
            return pause if is_passing and attempts < _MOST_SILENCES else None
        http, parsed = response
        error = parsed.get("Error", {})
        if error.get("Code") in _THROTTLED:
            self._pace.throttled(operation.name)
            wait = self._pace.reserve(operation.name)
            return wait if attempts < _MOST_THROTTLED else None
        if http.status_code >= _SERVERS_FAULT and attempts < _MOST_TRIES:
            return pause
        return None


def _words(error: Exception) -> str:
    """What botocore says; of an answer that it cannot read nothing is shown, since it may hold a key."""
    from botocore.exceptions import BotoCoreError, ClientError
    from botocore.parsers import ResponseParserError

    if isinstance(error, ResponseParserError):
        return "the answer cannot be read as an answer of AWS"
    if isinstance(error, ClientError | BotoCoreError | ValueError | OSError):
        return str(error).strip()
    return f"botocore does not understand the answer: {type(error).__name__}"


def _printed(call: Call, answer: Mapping[str, Any]) -> str:
    from fleet_cloud.aws import shapes

    for flag, words in call.parameters:
        if flag == shapes.QUERY:
            return f"{answer.get(str(words[0]), None)}\n"
    return json.dumps(answer, default=str)
