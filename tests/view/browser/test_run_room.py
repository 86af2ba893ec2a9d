"""A run: every fact that the server has, and charts whose marks lead to queries."""

from __future__ import annotations

import re
from typing import Any

import pytest

from view.browser.conftest import CHROMIUM_THERE
from view.browser.kit import until

playwright = pytest.importorskip("playwright.sync_api", reason="Playwright is not installed")

pytestmark = [pytest.mark.browser, CHROMIUM_THERE]


def open_run(page: Any, url: str) -> None:
    page.goto(f"{url}/#/run?run=one")
    page.get_by_role("heading", name="one", exact=True).wait_for()


def test_settings_costs_and_all_answers_are_there(page: Any, url: str) -> None:
    open_run(page, url)
    details = page.get_by_role("region", name="Details")
    for part in details.locator("details > summary").all():
        part.click()
    command = details.locator("pre.command").inner_text()
    assert command.startswith("tpo run") and "--width 3" in command and "--seed 1" in command
    assert details.locator("dt", has_text="max tokens").count() >= 1
    assert "reward" in details.get_by_role("group", name="What each role cost").inner_text()
    details.get_by_text(re.compile(r"of \d+ answers have a reward")).wait_for()
    assert details.get_by_role("group", name="All answers by step").locator("tbody tr").count() == 3


def test_times_have_their_zone(page: Any, url: str) -> None:
    open_run(page, url)
    zone = page.evaluate("new Date().toLocaleString('en-GB', { timeZoneName: 'short' }).split(' ').at(-1)")
    assert zone in page.locator("header.heading time").inner_text()


def test_a_bar_leads_to_its_queries_by_keys_too(page: Any, url: str) -> None:
    open_run(page, url)
    bars = page.get_by_role("group", name=re.compile(r"^Gain \d")).locator("a.lead")
    bars.first.wait_for()
    count = int(re.search(r": (\d+) queries", bars.last.get_attribute("aria-label"))[1])  # type: ignore[index]
    bars.first.focus()
    page.keyboard.press("ArrowLeft")
    page.keyboard.press("Enter")
    page.get_by_role("button", name=re.compile("^gain .* ✕")).wait_for()
    page.locator(".found").get_by_role("status").filter(has_text=f"{count} of 4").wait_for()
    page.get_by_role("button", name=re.compile("^gain .* ✕")).click()
    page.locator(".found").get_by_text("4 queries", exact=True).wait_for()


def test_a_step_leads_to_the_queries_whose_answer_it_found(page: Any, url: str) -> None:
    open_run(page, url)
    for chart in ("Reward by step", "Gain by step"):
        mark = page.get_by_role("group", name=chart).locator("a.lead").last
        label = mark.get_attribute("aria-label")
        count = re.search(r"(\d+) answers? (was|were) found here", label)
        assert count, label
        mark.focus()
        page.keyboard.press("Enter")
        page.get_by_role("button", name="answer found at step 2 ✕").wait_for()
        page.locator(".found").get_by_text(f"{count[1]} of 4 queries").wait_for()
        page.get_by_role("button", name="answer found at step 2 ✕").click()


def test_a_dot_leads_to_its_query(page: Any, url: str) -> None:
    for chart in ("Is it only longer?", "Cost and reward"):
        open_run(page, url)
        assert page.get_by_text(re.compile(r"Rank correlation of .*: .* over \d quer")).count() == 2
        dot = page.get_by_role("group", name=chart).locator("a.lead").nth(1)
        row = re.search(r"Row (\d+):", dot.get_attribute("aria-label"))[1]  # type: ignore[index]
        dot.focus()
        page.keyboard.press("Enter")
        page.get_by_role("region", name="Answer").wait_for()
        assert f"id=q{row}" in page.url
        page.go_back()
        page.get_by_role("heading", name="one", exact=True).wait_for()


def test_the_list_is_sorted_and_filtered(page: Any, url: str) -> None:
    page.goto(url)
    names = page.locator("table.runs tbody th a")
    names.first.wait_for()
    before = names.count()
    page.get_by_role("button", name="run, data").click()
    until(page, "location.hash.includes('sort=name')")
    assert names.all_inner_texts() == sorted(names.all_inner_texts())
    page.get_by_label("Filter runs").fill("huge")
    until(page, "document.querySelectorAll('table.runs tbody tr').length === 1")
    assert before > 1
    page.reload()
    names.first.wait_for()
    assert names.all_inner_texts() == ["huge"]


def test_traces_have_their_questions(page: Any, url: str) -> None:
    page.goto(url)
    link = page.get_by_role("link", name="Why is the sky blue?")
    link.click()
    playwright.expect(page.get_by_role("heading", level=1)).to_contain_text("Why is the sky blue?")


@pytest.mark.parametrize("room", ["", "run?run=one", "compare?run=one&with=two"])
def test_lists_read_well_on_a_phone(browser: Any, url: str, room: str) -> None:
    context = browser.new_context(viewport={"width": 390, "height": 800})
    made = context.new_page()
    made.goto(f"{url}/#/{room}")
    rows = made.locator("table.list tbody tr")
    rows.first.locator("a").first.wait_for()
    boxes = rows.first.locator("th, td").evaluate_all(
        "nodes => nodes.map(node => node.getBoundingClientRect()).map(box => [box.left, box.right])"
    )
    assert boxes and all(left >= 0 and right <= 390 for left, right in boxes)
    within = "nodes => nodes.every(node => node.scrollWidth <= node.clientWidth)"
    assert made.locator(".scroll:has(table.list)").evaluate_all(within)
    context.close()
