"""Records of a generation: what is no number is none of a time."""

import json

import pytest

from fleet_agent.credentials import records


@pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity", "1e999"])
def test_a_time_that_nothing_can_be_reckoned_from_is_damage(number: str) -> None:
    """A deadline that is not a number ended the agent where it was waited for."""
    with pytest.raises(ValueError, match="proven"):
        records.load_proven(json.loads(f'{{"proven": {number}}}'))
