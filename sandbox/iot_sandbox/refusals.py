"""How the HTTP planes' parts of ours refuse a call, and what else they share: pages of lists, a query's words."""

from collections.abc import Awaitable, Callable
from typing import Any

from iot_sandbox import ground

Response = Any  # ministack has no types: (status, headers, body)
Route = Callable[..., Awaitable[Response]]
Document = dict[str, Any]

_PAGE = 100


class RefusedError(Exception):
    """A call that AWS would refuse.

    Attributes:
        code: the exception's name at AWS.
        status: the HTTP status.
    """

    def __init__(self, code: str, message: str, status: int) -> None:
        super().__init__(message)
        self.code = code
        self.status = status


async def answered(work: Awaitable[Response]) -> Response:
    """Returns a call's answer, or its refusal."""
    try:
        return await work
    except RefusedError as error:
        return ground.error_response_json(error.code, str(error), error.status)


def invalid(message: str) -> RefusedError:
    """Returns the refusal of a request that is not within AWS's rules."""
    return RefusedError("ValidationException", message, 400)


def missing(message: str) -> RefusedError:
    """Returns the refusal of a request about what is not there."""
    return RefusedError("ResourceNotFoundException", message, 404)


def page(name: str, found: list[Document], query: dict[str, str], usual: int = _PAGE) -> Response:
    """Answers with a page of a list, and the token of the next."""
    start, size = int(query.get("nextToken", 0)), int(query.get("maxResults", usual))
    more = {"nextToken": str(start + size)} if start + size < len(found) else {}
    return ground.json_response({name: found[start : start + size], **more})


def words(query: Document) -> dict[str, str]:
    """Returns a query's first values."""
    return {key: value[0] if isinstance(value, list) else value for key, value in query.items()}
