"""Where one is on the page is never lost: back, reload, the list's order in a query, keys, the address, copies."""

from __future__ import annotations

import json
from typing import Any

import pytest

from view.browser.conftest import CHROMIUM_THERE
from view.browser.kit import until

playwright = pytest.importorskip("playwright.sync_api", reason="Playwright is not installed")

pytestmark = [pytest.mark.browser, CHROMIUM_THERE]

FOCUSED = "document.activeElement.textContent || document.activeElement.ariaLabel"


def listed(page: Any) -> Any:
    page.locator("table.list tbody a").first.wait_for()
    return page.locator("table.list tbody a")


def test_back_restores_scroll_and_focus(page: Any, url: str) -> None:
    page.goto(f"{url}/#/run?run=huge")
    link = page.get_by_role("link", name="row-40", exact=True)
    link.scroll_into_view_if_needed()
    link.focus()
    before = page.evaluate("scrollY")
    assert before > 500
    page.keyboard.press("Enter")
    page.get_by_role("region", name="Answer").or_(page.get_by_text("No answer yet")).first.wait_for()
    assert page.evaluate("scrollY") == 0
    page.go_back()
    link.wait_for()
    until(page, f"Math.abs(scrollY - {before}) < 2")
    assert page.evaluate(FOCUSED) == "row-40"
    page.reload()
    link.wait_for()
    until(page, f"Math.abs(scrollY - {before}) < 2")


def test_the_lists_order_goes_into_a_query_and_back(page: Any, url: str) -> None:
    page.goto(f"{url}/#/run?run=huge&sort=reward&order=down&show=all&page=2")
    names = listed(page).all_inner_texts()
    page.get_by_role("link", name=names[48], exact=True).click()
    turns = page.get_by_role("navigation", name="Queries")
    playwright.expect(turns).to_contain_text("99 of 20 000")
    page.keyboard.press("j")
    playwright.expect(turns).to_contain_text("100 of 20 000")
    playwright.expect(page.locator(".crumbs")).to_contain_text(names[49])
    page.get_by_role("link", name="Next →").click()
    playwright.expect(turns).to_contain_text("101 of 20 000")
    # The third page by now: the way back leads there, in the same order.
    page.get_by_role("navigation", name="Breadcrumb").get_by_role("link", name="huge").click()
    page.get_by_text("page 3 of 400").wait_for()
    assert page.locator("th[aria-sort=descending]").inner_text().startswith("reward")
    page.go_back()
    playwright.expect(turns).to_contain_text("101 of 20 000")
    page.keyboard.press("k")
    playwright.expect(turns).to_contain_text("100 of 20 000")


def test_a_key_that_is_typed_is_only_a_letter(page: Any, url: str) -> None:
    page.goto(f"{url}/#/run?run=huge")
    listed(page)
    page.keyboard.press("/")
    page.keyboard.type("jk")
    assert page.get_by_label("Search queries").input_value() == "jk"


def test_what_is_selected_is_in_the_address(page: Any, url: str) -> None:
    page.goto(f"{url}/#/query?run=one&id=q0")
    page.locator(".dot[data-id='1.1']").click()
    page.get_by_label("From ").select_option("0.2")
    until(page, "location.hash.includes('at=1.1') && location.hash.includes('from=0.2')")
    page.reload()
    panel = page.get_by_role("region", name="The selected candidate")
    playwright.expect(panel).to_contain_text("1.1")
    assert page.get_by_label("From ").input_value() == "0.2"
    assert page.locator(".dot[data-id='1.1']").get_attribute("aria-selected") == "true"


def test_answer_link_and_story_are_copied(page: Any, url: str) -> None:
    page.goto(f"{url}/#/query?run=texts&id=rewritten")
    read = "navigator.clipboard.readText()"
    for name in ("Copy answer", "Copy link", "Copy as JSON"):
        page.get_by_role("button", name=name).click()
        page.get_by_role("button", name="Copied").wait_for()
        text = page.evaluate(read)
        page.get_by_role("button", name=name).wait_for()
        if name == "Copy answer":
            assert text.startswith("An answer that has nothing")
        elif name == "Copy link":
            assert text == page.url
        else:
            assert json.loads(text)["name"] == "rewritten"


def test_a_redrawn_table_keeps_the_focus(page: Any, url: str) -> None:
    page.goto(f"{url}/#/run?run=huge")
    listed(page)
    page.get_by_role("button", name="gain", exact=True).focus()
    page.keyboard.press("Enter")
    page.locator("th[aria-sort=descending]").wait_for()
    assert page.evaluate(FOCUSED).startswith("gain")
    page.get_by_role("button", name="Last", exact=True).focus()
    page.keyboard.press("Enter")
    page.get_by_text("page 400 of 400").wait_for()
    assert page.evaluate(FOCUSED) == "Last"


def test_waiting_is_seen(page: Any, url: str) -> None:
    page.goto(url)
    page.get_by_role("heading", name="Runs").wait_for()
    held: list[Any] = []
    page.route("**/api/run?*", lambda route: held.append(route))
    page.get_by_role("link", name="one", exact=True).click()
    page.locator("main[aria-busy=true]").wait_for()
    held[0].continue_()
    page.get_by_role("heading", name="one", exact=True).wait_for()
    assert page.locator("main").get_attribute("aria-busy") is None
