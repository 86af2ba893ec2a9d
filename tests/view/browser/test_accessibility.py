"""What axe finds on the page, in each of its rooms and states: nothing."""

from __future__ import annotations

from importlib.resources import files
from typing import Any

import pytest

from view.browser.conftest import CHROMIUM_THERE

playwright = pytest.importorskip("playwright.sync_api", reason="Playwright is not installed")
pytest.importorskip("axe_playwright_python", reason="axe is not installed")

pytestmark = [pytest.mark.browser, CHROMIUM_THERE]

ROOMS = {
    "list": "",
    "run": "run?run=one",
    "search without hits": "run?run=one&search=nothing+at+all",
    "query": "query?run=one&id=q1",
    "failed query": "query?run=one&id=q3",
    "markdown": "query?run=texts&id=markdown",
    "attacks": "query?run=texts&id=attacks",
    "long": "query?run=texts&id=long",
    "rewritten": "query?run=texts&id=rewritten",
    "trace": "trace?trace=trace.jsonl",
    "comparison": "compare?run=one&with=two",
    "playground": "play",
}


@pytest.mark.parametrize("room", ROOMS)
def test_axe_finds_nothing(page: Any, url: str, room: str) -> None:
    page.goto(f"{url}/#/{ROOMS[room]}")
    page.locator("main:not([aria-busy]) h1").wait_for()
    opened = "document.querySelectorAll('details').forEach(one => { one.open = true })"
    page.evaluate(opened)
    page.wait_for_load_state("networkidle")
    # The page's policy keeps scripts out that are not its own; a tool of the test gets in all the same.
    page.evaluate((files("axe_playwright_python") / "axe.min.js").read_text())
    found = page.evaluate("axe.run().then(r => r.violations.map(v => v.id + ': ' + v.nodes[0].html))")
    assert not found
