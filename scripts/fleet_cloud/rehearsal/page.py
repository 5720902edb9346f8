"""The report as one page that needs nothing else: no network, no library, no server. Pure but for reading its frame."""

import json
from collections.abc import Mapping
from pathlib import Path

_FRAME = Path(__file__).with_name("page.html")
_PLACE = "{{REPORT}}"


def text_of(report: Mapping[str, object]) -> str:
    """Returns a report as JSON that may be used in a page."""
    return json.dumps(report, separators=(",", ":")).replace("<", "\\u003c")


def render(report: Mapping[str, object]) -> str:
    """Returns the page.

    Args:
        report: ``title``, ``words`` (what was asked), ``figures`` and ``outlook``.
    """
    return _FRAME.read_text(encoding="utf-8").replace(_PLACE, text_of(report), 1)
