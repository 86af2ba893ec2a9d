"""Two runs: what differs in words, the paired difference, both runs and questions at hand."""

from __future__ import annotations

import re
from typing import Any

import pytest

from view.browser.conftest import CHROMIUM_THERE

playwright = pytest.importorskip("playwright.sync_api", reason="Playwright is not installed")

pytestmark = [pytest.mark.browser, CHROMIUM_THERE]


def test_a_comparison_names_what_differs_and_leads_to_both_runs(page: Any, url: str) -> None:
    page.goto(f"{url}/#/compare?run=one&with=two")
    page.get_by_text("the method is tpo in the first and best-of-n in the second").wait_for()
    verdict = page.locator(".verdict").inner_text()
    assert re.search(r"paired, 95 % interval [+−–\d.]+ to [+−–\d.]+", verdict)
    bar = page.get_by_role("group", name="Difference in reward").locator("a.lead").last
    bar.focus()
    page.keyboard.press("Enter")
    page.get_by_role("button", name=re.compile("^difference .* ✕")).click()
    questions = page.locator(".asked[data-id=q1]")
    playwright.expect(questions).to_contain_text("Why is the sky blue?")
    page.get_by_role("link", name="q1 in two").click()
    page.get_by_role("region", name="Answer").wait_for()
    assert "run=two" in page.url and "id=q1" in page.url
    page.go_back()
    page.locator("header.heading").get_by_role("link", name="one", exact=True).click()
    page.get_by_role("heading", name="one", exact=True).wait_for()


def test_one_query_has_no_interval(page: Any, url: str) -> None:
    for room in ("compare?run=single&with=another", "run?run=single", "query?run=single&id=row-0"):
        page.goto(f"{url}/#/{room}")
        page.locator("main:not([aria-busy]) h1").wait_for()
        page.wait_for_load_state("networkidle")
        shown = page.locator("main").inner_text()
        assert not re.search(r"NaN|null|undefined|Infinity", shown)
