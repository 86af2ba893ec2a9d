"""Two texts side by side: what is unchanged is folded, changes are walked, both sides scroll together."""

from __future__ import annotations

from typing import Any

import pytest

from view.browser.conftest import CHROMIUM_THERE
from view.browser.kit import until

playwright = pytest.importorskip("playwright.sync_api", reason="Playwright is not installed")

pytestmark = [pytest.mark.browser, CHROMIUM_THERE]


def difference(page: Any, url: str, id: str) -> Any:
    page.goto(f"{url}/#/query?run=texts&id={id}")
    section = page.get_by_role("region", name="What changed")
    section.wait_for()
    return section


def test_unchanged_stretches_are_folded_on_both_sides(page: Any, url: str) -> None:
    section = difference(page, url, "long")
    assert section.get_by_text("3 changes").count() == 1
    folds = section.locator("button.unchanged")
    assert folds.count() == 6 and "unchanged characters" in folds.first.inner_text()
    assert "Paragraph 20 of" not in section.inner_text()
    folds.first.click()
    assert folds.count() == 4 and section.get_by_text("Paragraph 20 of").count() == 2


def test_changes_are_walked_and_both_sides_follow(page: Any, url: str) -> None:
    section = difference(page, url, "long")
    while section.locator("button.unchanged").count():
        section.locator("button.unchanged").first.click()
    sides = section.locator(".side > .prose")
    down = section.get_by_role("button", name="Next change")
    down.click()
    assert section.get_by_role("status").inner_text() == "1 of 3"
    assert (
        section.locator("del.current").inner_text() == "Paragraph"
        and section.locator("ins.current").inner_text() == "Chapter"
    )
    tops = "nodes => nodes.map(node => node.scrollTop)"
    first = sides.evaluate_all(tops)
    assert min(first) > 100
    down.click()
    assert min(sides.evaluate_all(tops)) > max(first)
    section.get_by_role("button", name="Previous change").click()
    assert section.get_by_role("status").inner_text() == "1 of 3"
    sides.first.evaluate("node => { node.scrollTop = 0 }")
    until(page, "node => node.scrollTop === 0", sides.nth(1).element_handle())


def test_a_rewritten_text_is_shown_as_it_is(page: Any, url: str) -> None:
    section = difference(page, url, "rewritten")
    assert section.get_by_text("Rewritten", exact=True).count() == 1 and section.get_by_text("% in common").count() == 1
    assert not section.locator("del, ins").count() and section.locator(".rendered").count() == 2


def test_words_are_struck_only_where_few_are(page: Any, url: str) -> None:
    section = difference(page, url, "long")
    line = "getComputedStyle(document.querySelector('del.gone')).textDecorationLine"
    assert section.locator(".few").count() == 1 and page.evaluate(line) == "line-through"
