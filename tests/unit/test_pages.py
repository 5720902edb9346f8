"""The pages of the documentation: headings are headings, and links lead somewhere."""

import re
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PAGES = sorted(
    page
    for folder in ("", "docs", "packaging", "sandbox")
    for page in (ROOT / folder).glob("*.md" if not folder else "**/*.md")
)


@cache
def prose(page: Path) -> str:
    """Its text without blocks of code."""
    return re.sub(r"^```.*?^```", "", page.read_text(), flags=re.DOTALL | re.MULTILINE)


@cache
def anchors(page: Path) -> set[str]:
    """What its headings are linked by."""
    headings = re.findall(r"^#+ (.*)", prose(page), re.MULTILINE)
    words = (re.sub(r"[^\w\- ]", "", heading.lower()) for heading in headings)
    named = re.findall(r'<a (?:id|name)="([^"]+)"', prose(page))
    return {text.strip().replace(" ", "-") for text in words} | set(named)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_a_page_is_whole(page: Path) -> None:
    text = prose(page)
    assert not re.findall(r"^\\#.*", text, re.MULTILINE), "headings that are shown as text"
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        if re.match(r"[a-z]+:", target):
            continue
        path, _, anchor = target.partition("#")
        there = (page.parent / path).resolve() if path else page
        assert there.exists(), target
        if anchor and there.suffix == ".md":
            assert anchor in anchors(there), target
