"""The page in a real Chromium: what is shown, how it is walked with keys alone, and that nothing on it is run.

`make test-browser` runs these. TPO_CHROMIUM names the browser where it is not found.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from view.browser.conftest import CHROMIUM_THERE, NAMED

playwright = pytest.importorskip("playwright.sync_api", reason="Playwright is not installed")

pytestmark = [pytest.mark.browser, CHROMIUM_THERE]


def test_the_list_leads_to_a_run_and_to_a_query(page: Any, url: str) -> None:
    page.goto(url)
    page.get_by_role("link", name="one", exact=True).click()
    page.get_by_role("heading", name="one", exact=True).wait_for()
    assert page.get_by_role("group", name="Reward by step").count() == 1
    page.get_by_role("link", name="q1", exact=True).first.click()
    heading = page.get_by_role("heading", level=1)
    playwright.expect(heading).to_contain_text("Why is the sky blue?")
    assert "<script>" in heading.inner_text()  # as text
    assert page.get_by_text("textual loss").count() >= 1 and page.locator("ins.new, del.gone").count() > 0
    page.get_by_text("Step 1: loss, to the critic").click()
    playwright.expect(page.locator(".messages").first).to_contain_text("Why is the sky blue?")
    page.go_back()
    page.get_by_role("heading", name="one", exact=True).wait_for()


def test_a_name_is_only_a_name(page: Any, url: str) -> None:
    page.goto(url)
    page.get_by_role("link", name=NAMED, exact=True).click()
    playwright.expect(page.get_by_role("heading", level=1)).to_have_text(NAMED)
    page.get_by_role("link", name="row-1", exact=True).first.click()
    page.get_by_role("link", name=NAMED).wait_for()
    page.goto(f"{url}/#/compare?run=two&with={quote(NAMED)}")
    page.get_by_role("heading", name="Query by query").wait_for()


def test_a_candidate_is_chosen_with_keys_alone(page: Any, url: str) -> None:
    page.goto(f"{url}/#/query?run=one&id=q0")
    dots = page.get_by_role("listbox", name="Candidates")
    dots.wait_for()
    panel = page.get_by_role("region", name="The selected candidate")
    chosen = dots.locator("[aria-selected=true]")
    before = chosen.get_attribute("data-id")
    chosen.focus()
    page.keyboard.press("ArrowRight")
    page.keyboard.press("Enter")
    now = dots.locator("[aria-selected=true]").get_attribute("data-id")
    assert now != before
    playwright.expect(panel).to_contain_text(now)


def test_the_whole_page_is_walked_with_the_tab_key(page: Any, url: str) -> None:
    page.goto(url)
    page.get_by_role("heading", name="Runs").wait_for()
    page.locator("body").focus()
    names = []
    for _ in range(40):
        page.keyboard.press("Tab")
        names.append(page.evaluate("document.activeElement.textContent || document.activeElement.ariaLabel"))
    assert "To the content" in names and "Compare" in names and "one" in names


def test_queries_are_searched_filtered_and_turned(page: Any, url: str) -> None:
    page.goto(f"{url}/#/run?run=huge")
    page.get_by_text("page 1 of 400").wait_for()
    page.get_by_role("button", name="Last", exact=True).click()
    page.get_by_text("page 400 of 400").wait_for()
    page.get_by_role("link", name="row-19999", exact=True).wait_for()
    page.keyboard.press("/")
    page.keyboard.type("row-4711")
    page.get_by_text("1 of 20 000 queries").wait_for()
    page.reload()
    page.get_by_text("1 of 20 000 queries").wait_for()  # all of it is in the address
    page.get_by_label("Search queries").fill("")
    page.get_by_role("button", name="gain").click()
    page.locator("th[aria-sort=descending]").wait_for()


def test_two_runs_are_compared(page: Any, url: str) -> None:
    page.goto(url)
    page.get_by_label("Compare one").check()
    page.get_by_label("Compare two").check()
    page.get_by_role("button", name="Compare two runs").click()
    page.get_by_role("heading", name="Query by query").wait_for()
    page.get_by_role("button", name="Both answers to q1").click()
    page.locator("tr.below").get_by_text("Why is the sky blue?").wait_for()


def test_an_exported_story_is_read_without_any_network(page: Any, browser: Any, url: str, tmp_path: Path) -> None:
    page.goto(f"{url}/#/query?run=one&id=q1")
    with page.expect_download() as download:
        page.get_by_role("button", name="Save as one HTML file").click()
    file = tmp_path / download.value.suggested_filename
    download.value.save_as(file)
    assert file.name == "q1.html"
    context = browser.new_context(offline=True)
    alone = context.new_page()
    troubles: list[str] = []
    alone.on("pageerror", lambda error: troubles.append(str(error)))
    alone.on("console", lambda message: troubles.append(message.text) if message.type == "error" else None)
    alone.goto(file.as_uri())
    playwright.expect(alone.get_by_role("heading", level=1)).to_contain_text("<script>")
    assert alone.get_by_role("group", name="Reward by step").count() == 1
    assert alone.title() != "owned" and not troubles
    context.close()


def test_what_cannot_be_shown_is_reported(browser: Any, url: str) -> None:
    context = browser.new_context()  # one that may complain: the server refuses, and the browser notes that
    made = context.new_page()
    made.goto(f"{url}/#/query?run=one&id=q3")
    playwright.expect(made.get_by_role("alert")).to_contain_text("Failed.")
    made.goto(f"{url}/#/run?run=nowhere")
    playwright.expect(made.get_by_role("alert")).to_contain_text("nowhere")
    made.get_by_role("link", name="← runs").click()
    made.get_by_role("heading", name="Runs").wait_for()
    context.close()


def test_it_fits_a_phone(browser: Any, url: str) -> None:
    context = browser.new_context(viewport={"width": 390, "height": 800})
    made = context.new_page()
    for room in ("", "run?run=one", "query?run=one&id=q1", "compare?run=one&with=two", "play"):
        made.goto(f"{url}/#/{room}")
        made.locator("main h1").wait_for()
        assert made.evaluate("document.documentElement.scrollWidth <= innerWidth"), room
    context.close()
