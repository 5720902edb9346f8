"""The rehearsal's page in a real browser: live and as a file, by keyboard, by screen reader, without the internet."""

import os
import re
import subprocess
import sys
import time
from pathlib import Path

import pytest

from iot_sandbox.launch import Sandbox
from support import chromium
from support.chromium import Browser, browsing
from support.companion import FleetCloud

pytestmark = [
    pytest.mark.thorough,
    pytest.mark.skipif(chromium.PROGRAM is None, reason="needs Debian's chromium"),
]

NAME = "shown"
STATUS = "document.getElementById('now').textContent"


def test_page_follows_the_devices_and_is_the_same_as_a_file(
    root_dir: Path,
    operator: dict[str, str],
    fleet_cloud: FleetCloud,
    sandbox: Sandbox,
    tmp_path: Path,
) -> None:
    fleet_cloud("up", "--no-hook", "--name", NAME)
    words = ["rehearse", "--devices", "30", "--spread", "20s", "--web", "0", "--name", NAME]
    where = ["--ca-file", str(sandbox.ca_file), "--out", str(tmp_path / "out")]
    command = [sys.executable, str(root_dir / "scripts" / "fleet-cloud"), *words, *where]
    with (
        browsing(tmp_path) as browser,
        subprocess.Popen(
            command, env=os.environ | operator, stderr=subprocess.PIPE, text=True
        ) as process,
    ):
        assert process.stderr
        line = next(line for line in process.stderr if "live at" in line)
        address = re.findall(r"http://\S+", line)[0]
        browser.open(address)
        browser.until(f"{STATUS}.startsWith('running')")
        first = browser.evaluate("document.querySelector('dd').textContent")
        browser.until(f"document.querySelector('dd').textContent !== {first!r}")
        look_by_keyboard(browser)
        browser.until("document.title.includes('done')")
        browser.until(f"{STATUS}.startsWith('done: 30 of 30')")
        process.stderr.read()
        assert process.wait(120) == 0
        time.sleep(1.0)  # an EventSource would come again by now
        assert browser.complaints == []
        assert {url for url in browser.asked if not url.startswith((address, "data:"))} == set()
        look_at_file(browser, tmp_path / "out" / "report.html")
        browser.photograph(tmp_path / "rehearsal.png", 1100, 1150)
    fleet_cloud("down", "--yes", "--name", NAME)


def look_by_keyboard(browser: Browser) -> None:
    """The first key leads to a way past the head, and what was opened stays open while the page changes."""
    browser.press("Tab", 9)
    assert browser.evaluate("document.activeElement.textContent") == "to the pictures"
    browser.press("Enter", 13)
    assert browser.evaluate("document.activeElement.id") == "pictures"
    browser.press("Tab", 9)
    assert browser.evaluate("document.activeElement.localName") == "summary"
    browser.press("Enter", 13)
    opened = "document.querySelector('section details').open"
    browser.until(opened)
    changes = "document.querySelector('section details').marked = true"
    browser.evaluate(changes)
    # Drawn again, it is another, and open all the same, with the focus where it was.
    browser.until("document.querySelector('section details').marked !== true")
    assert browser.evaluate(opened)
    assert browser.evaluate("document.activeElement.localName") == "summary"


def look_at_file(browser: Browser, page: Path) -> None:
    """The file asks for nothing else, and says everything that it shows."""
    browser.asked.clear()
    browser.open(f"file://{page}")
    browser.until(f"{STATUS}.startsWith('done: 30 of 30')")
    assert browser.complaints == []
    assert {url for url in browser.asked if not url.startswith("data:")} == {f"file://{page}"}
    found = browser.heard_by_screen_readers()
    images = [name for role, name in found if role == "image"]
    assert images[0].startswith("30 of 30 devices have their identity after ")
    assert len(images) == 4
    assert all(images)
    headings = [name for role, name in found if role == "heading"]
    assert headings[0] == "Rehearsal, done"
    assert {"Devices with their identity", "Refused and failed", "What else may happen"} <= {
        *headings
    }
    assert [role for role, _ in found].count("status") == 1
    assert browser.evaluate("document.documentElement.lang") == "en"
