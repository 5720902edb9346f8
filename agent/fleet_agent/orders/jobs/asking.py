"""Asks AWS IoT Jobs, one request at a time, until it answers or the connection ends.

An answer is recognised by the token of its request. What is not answered, or is refused because there is too much to
do, is asked again, less and less often.
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

LIMIT = 10.0  # seconds for an answer, the first time; twice as many each time after
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


class Asking:
    """Requests on the way.

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
        """The connection stands; nothing is under way."""
        self.disconnected()
        self._is_connected = True

    def disconnected(self) -> None:
        """The connection ended: nothing is awaited any more, and nothing is asked."""
        self._is_connected = False
        self._requests.clear()
        self.due = math.inf

    def ask(self, path: str, request: Request, answered: Answered) -> None:
        """Asks, when it is its turn; not without a connection, after which all is decided again.

        Args:
            path: Of the topic, below the base.
            request: Gives the payload when it is sent.
            answered: Is given whether it was accepted, and the answer.
        """
        if not self._is_connected:
            return
        self._requests.append(_Asked(path=path, request=request, answered=answered))
        if len(self._requests) == 1:
            self._next()

    def is_to_ask(self, path: str) -> bool:
        """Whether a request of that path waits for its turn."""
        return any(asked.path == path for asked in itertools.islice(self._requests, 1, None))

    def act(self) -> None:
        """Asks again: no answer came."""
        if self._requests and self._clock.monotonic() >= self.due:
            asked = self._requests[0]
            if asked.token:
                _log.warning("AWS IoT Jobs does not answer on %s/%s", self._base, asked.path)
            self._next()

    def take(self, path: str, payload: bytes) -> None:
        """An answer arrived; one to another request does not count."""
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
    # Not the power of all tries: a broker without jobs never answers, and no number holds a thousand doublings.
    return LIMIT * 2.0 ** min(tries - 1, _DOUBLINGS)
