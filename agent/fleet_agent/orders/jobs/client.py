"""A client of AWS IoT Jobs: sends one request at a time, until it is answered or the connection ends.

An answer is recognised by the token of its request. A request that is not answered, or is throttled, is sent again,
less and less often.
"""

import collections
import itertools
import json
import logging
import math
import os
from collections.abc import Callable, Mapping
from typing import Any

from fleet_agent import foreign
from fleet_agent.clock import Clock
from fleet_agent.printable import printable
from fleet_agent.record import mutable
from fleet_agent.session.message import Outgoing

_log = logging.getLogger(__name__)

LIMIT = 10.0  # seconds to the first answer; doubled with each try
_DOUBLINGS = 6

_AGAIN = ("RequestThrottled", "InternalError")

Request = Callable[[], Mapping[str, object]]
Answered = Callable[[bool, dict[str, Any]], None]


@mutable
class _Asked:
    path: str
    request: Request
    answered: Answered
    tries: int = 0
    token: str = ""


class JobsClient:
    """Sends requests to AWS IoT Jobs.

    Args:
        base: What all topics begin with: ``$aws/things/THING/jobs``.
        send: Publishes.
        clock: For time limits.
    """

    def __init__(self, base: str, send: Callable[[Outgoing], None], clock: Clock) -> None:
        self._base = base
        self._send = send
        self._clock = clock
        self._requests: collections.deque[_Asked] = collections.deque()
        self._is_connected = False
        self.due = math.inf

    def connected(self) -> None:
        """Starts over on a new connection."""
        self.disconnected()
        self._is_connected = True

    def disconnected(self) -> None:
        """Stops asking at the end of the connection."""
        self._is_connected = False
        self._requests.clear()
        self.due = math.inf

    def ask(self, path: str, request: Request, answered: Answered) -> None:
        """Puts a request into the queue; without a connection it does nothing, since the next connect starts afresh.

        Args:
            path: Of the topic, below the base.
            request: Makes the payload when it is sent.
            answered: Called with whether it was accepted, and the answer.
        """
        if not self._is_connected:
            return
        self._requests.append(_Asked(path=path, request=request, answered=answered))
        if len(self._requests) == 1:
            self._next()

    def ask_again(self) -> None:
        """Sends the request under way again at once: its answer may have been kept from us until now."""
        if self._requests:
            self._requests[0].tries = 0
            self._next()

    def is_to_ask(self, path: str) -> bool:
        """Whether a request of that path is queued."""
        return any(asked.path == path for asked in itertools.islice(self._requests, 1, None))

    def act(self) -> None:
        """Sends the request again: no answer came."""
        if self._requests and self._clock.monotonic() >= self.due:
            asked = self._requests[0]
            if asked.token:
                _log.warning("AWS IoT Jobs does not answer on %s/%s", self._base, asked.path)
            self._next()

    def take(self, path: str, payload: bytes) -> None:
        """Takes an answer; one to another request is ignored."""
        if not self._requests:
            return
        asked = self._requests[0]
        topic, _, how = path.rpartition("/")
        values = foreign.read_answer(payload)
        if topic != asked.path or not asked.token or values.get("clientToken") != asked.token:
            return
        if how == "rejected":
            code, words = values.get("code"), printable(str(values.get("message", "")))
            _log.warning(
                "AWS IoT Jobs refused %s: %s: %s", asked.path, printable(str(code)), words
            )
            if code in _AGAIN:
                asked.token = ""
                self.due = self._clock.monotonic() + _patience(asked.tries)
                return
        self._requests.popleft()
        self.due = math.inf
        asked.answered(how == "accepted", values)
        if self._requests and self.due == math.inf:
            self._next()

    def _next(self) -> None:
        asked = self._requests[0]
        asked.tries += 1
        asked.token = os.urandom(8).hex()
        self.due = self._clock.monotonic() + _patience(asked.tries)
        payload = {**asked.request(), "clientToken": asked.token}
        self._send(
            Outgoing(topic=f"{self._base}/{asked.path}", payload=json.dumps(payload).encode())
        )


def _patience(tries: int) -> float:
    # A broker without jobs never answers, and no float holds a thousand doublings.
    return LIMIT * 2.0 ** min(tries - 1, _DOUBLINGS)
