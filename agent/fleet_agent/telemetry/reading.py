"""One telemetry datum, as it is published."""

import dataclasses
import json
from collections.abc import Mapping

from fleet_agent import clock

Value = str | float | int | None | Mapping[str, "Value"]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Reading:
    """What ``source`` saw at ``time`` (Unix seconds); ``values`` by name, units in the names."""

    source: str
    time: float
    values: Mapping[str, Value]

    def payload(self) -> bytes:
        """JSON: the values with ``time`` in front."""
        return json.dumps({"time": clock.text(self.time), **self.values}).encode()
