"""UpdateThing with an expected version, which ministack takes and does not compare."""

from collections.abc import Callable
from typing import Any

from iot_sandbox import ground

Update = Callable[[str, dict[str, Any]], tuple[Any, ...]]


def with_versions(was: Update) -> Update:
    """Wraps ministack's UpdateThing so that it refuses what was read before somebody else's change."""

    def update(name: str, payload: dict[str, Any]) -> tuple[Any, ...]:
        thing, expected = ground.things.get(name), payload.get("expectedVersion")
        if thing is not None and expected is not None and expected != thing.get("version", 1):
            title = f"The version for thing {name} does not match the expected version."
            refusal: tuple[Any, ...] = ground.error_response_json(
                "VersionConflictException", title, 409
            )
            return refusal
        return was(name, payload)

    return update
