"""How calls that ministack lacks are put beside those that it routes: by their path, and tags by the ARN asked for."""

import re
from collections.abc import Awaitable, Callable
from typing import Any, NamedTuple

from iot_sandbox import ground
from iot_sandbox.refusals import Document, Response, Route, answered, words


class Asked(NamedTuple):
    """A call whose path is one of ours; ``found`` is the match, ``words`` the query's first values."""

    method: str
    found: re.Match[str]
    headers: dict[str, str]
    body: bytes
    words: dict[str, str]


def beside(
    was: Route,
    path: re.Pattern[str],
    answer: Callable[[Asked], Awaitable[Response]],
    method: str | None = None,
) -> Route:
    """Has ``answer`` answer what matches the path, with this method if one is given; everything else is unchanged."""

    async def route(
        asked: str, place: str, headers: dict[str, str], body: bytes, query: Document
    ) -> Response:
        found = path.fullmatch(place)
        if found is None or method not in {None, asked}:
            return await was(asked, place, headers, body, query)
        return await answered(answer(Asked(asked, found, headers, body, words(query))))

    return route


def beside_with_tags(
    was: Route,
    path: re.Pattern[str],
    arn: re.Pattern[str],
    answer: Callable[[str, str | None, bytes], Response],
    find: Callable[[str], dict[str, Any] | None],
    missing: Callable[[], Response],
) -> Route:
    """As ``beside``, by method, name and body; and the tags of what ``find`` finds by the name in an ARN."""

    async def route(
        method: str, place: str, headers: dict[str, str], body: bytes, query: Document
    ) -> Response:
        found = path.fullmatch(place)
        if found is not None:
            return answer(method, found["name"], body)
        tagged = arn.fullmatch(words(query).get("resourceArn", ""))
        if place == "/tags" and method == "GET" and tagged:
            thing = find(tagged["name"])
            return ground.json_response({"tags": thing["tags"]}) if thing else missing()
        return await was(method, place, headers, body, query)

    return route
