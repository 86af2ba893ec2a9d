"""What axe finds on the page, in each of its rooms and states, on a wide page and on a phone: nothing."""

from __future__ import annotations

import re
from importlib.resources import files
from typing import Any

import pytest

from view.browser.conftest import CHROMIUM_THERE

playwright = pytest.importorskip("playwright.sync_api", reason="Playwright is not installed")

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
    "one query": "run?run=single",
    "judge, panel and warnings": "run?run=judged",
    "query with a judge": "query?run=judged&id=j1",
    "list with a filter": "?search=one",
}

AXE = "axe.run().then(r => r.violations.map(v => v.id + ': ' + v.nodes[0].html))"


def findings(page: Any) -> Any:
    """What axe finds now, on a wide page and on a phone."""
    page.evaluate("document.querySelectorAll('details').forEach(one => { one.open = true })")
    page.wait_for_load_state("networkidle")
    # The page's policy keeps scripts out that are not its own; a tool of the test gets in all the same.
    page.evaluate((files("axe_playwright_python") / "axe.min.js").read_text())
    found = []
    dark = page.evaluate("matchMedia('(prefers-color-scheme: dark)').matches")
    for width in (1200,) if dark else (1200, 390):  # colours do not depend on the width
        page.set_viewport_size({"width": width, "height": 900})
        found += page.evaluate(AXE)
        if page.evaluate("document.documentElement.scrollWidth > innerWidth"):
            found.append(f"wider than {width} pixels")
    return found


@pytest.mark.parametrize("room", ROOMS)
def test_axe_finds_nothing(page: Any, url: str, room: str) -> None:
    page.goto(f"{url}/#/{ROOMS[room]}")
    page.locator("main:not([aria-busy]) h1").wait_for()
    assert not findings(page)


def test_a_raw_text_has_no_findings(page: Any, url: str) -> None:
    page.goto(f"{url}/#/query?run=texts&id=markdown")
    page.get_by_role("button", name="Raw").click()
    assert not findings(page)


def test_a_walked_difference_has_no_findings(page: Any, url: str) -> None:
    page.goto(f"{url}/#/query?run=texts&id=long")
    section = page.get_by_role("region", name="What changed")
    section.locator("button.unchanged").first.click()
    section.get_by_role("button", name="Next change").click()
    assert not findings(page)


def test_both_answers_of_a_comparison_have_no_findings(page: Any, url: str) -> None:
    page.goto(f"{url}/#/compare?run=one&with=two")
    page.get_by_role("button", name="Both answers").first.click()
    page.locator("tr.below").wait_for()
    assert not findings(page)


def test_a_filtered_list_has_no_findings(page: Any, url: str) -> None:
    page.goto(f"{url}/#/run?run=one&show=improved&low=0")
    page.get_by_role("button", name=re.compile("✕")).first.wait_for()
    assert not findings(page)


def test_a_playground_has_no_findings_while_it_answers_and_when_it_was_stopped(page: Any, url: str) -> None:
    page.goto(f"{url}/#/play")
    page.get_by_label("Question").fill("Why?")
    page.get_by_label("D, steps").fill("8")
    page.evaluate((files("axe_playwright_python") / "axe.min.js").read_text())
    page.get_by_role("button", name="Answer", exact=True).click()
    page.locator("blockquote.criticism").first.wait_for()
    assert not page.evaluate(AXE)
    stop = page.get_by_role("button", name="Stop")
    if stop.count():  # the search may be over by now
        stop.click()
    page.get_by_role("region", name="nswer").first.wait_for()
    assert not findings(page)
