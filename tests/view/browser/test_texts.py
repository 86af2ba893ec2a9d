"""Texts that models wrote: Markdown, code and formulas are rendered, nothing in them runs, and nothing is hidden."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from view.browser.conftest import CHROMIUM_THERE
from view.browser.texts import ATTACKS, LONG, MARKDOWN

playwright = pytest.importorskip("playwright.sync_api", reason="Playwright is not installed")

pytestmark = [pytest.mark.browser, CHROMIUM_THERE]


def answer_of(page: Any, url: str, id: str) -> Any:
    page.goto(f"{url}/#/query?run=texts&id={id}")
    section = page.get_by_role("region", name="Answer")
    section.wait_for()
    more = section.get_by_role("button", name="Show all")
    if more.count():
        more.click()
    return section


def test_markdown_is_rendered(page: Any, url: str) -> None:
    answer = answer_of(page, url, "markdown")
    assert answer.get_by_role("heading", name="A heading").count() == 1
    assert answer.locator("em").inner_text() == "emphasis" and answer.locator("strong", has_text="strong words").count()
    assert answer.locator("ul ul li").inner_text() == "nested" and answer.locator("ol > li").count() == 2
    assert answer.locator("td.to-right").inner_text() == "1" and answer.locator("blockquote").count() == 1
    assert answer.locator(".code-keyword").first.inner_text() == "def"
    assert answer.locator(".code-comment").inner_text() == "# a comment"
    assert answer.get_by_text("(https://example.org/page)").count() == 1 and answer.locator("a").count() == 0


def test_formulas_are_mathml(page: Any, url: str) -> None:
    answer = answer_of(page, url, "markdown")
    answer.locator("math").nth(1).wait_for()
    assert answer.locator("math mfrac").count() == 1 and answer.locator("math mtable").count() == 1
    assert answer.locator("math").count() == 2 and "Prices of $5 and $6 are no formula." in answer.inner_text()


def test_raw_is_the_text_as_it_stands_and_the_choice_is_kept(page: Any, url: str) -> None:
    answer = answer_of(page, url, "markdown")
    page.get_by_role("button", name="Raw").click()
    assert answer.locator(".prose").inner_text().strip() == MARKDOWN.strip()
    page.reload()
    playwright.expect(page.get_by_role("button", name="Raw")).to_have_attribute("aria-pressed", "true")
    playwright.expect(answer.locator(".prose")).to_contain_text("# A heading")
    page.get_by_role("button", name="Rendered").click()
    playwright.expect(answer.get_by_role("heading", name="A heading")).to_be_visible()


@pytest.mark.parametrize("way", ["Rendered", "Raw"])
def test_attacks_are_text(page: Any, url: str, way: str) -> None:
    answer = answer_of(page, url, "attacks")
    page.get_by_role("button", name=way, exact=True).click()
    page.evaluate("document.querySelectorAll('details').forEach(one => { one.open = true })")
    assert "<script>document.title" in answer.inner_text()
    page.wait_for_load_state("networkidle")
    # The page fixture sees to it that nothing ran and nothing was fetched; and there is nothing that could be.
    main = page.locator("main")
    assert not main.locator(
        "script, img, iframe, style, object, embed, form, [onerror], [onload], [style*=position]"
    ).count()
    assert not main.locator("a:not([href^='#'])").count() and page.locator("#main").count() == 1
    box = page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    assert box, "a formula is wider than the page"


def test_hidden_characters_are_seen(page: Any, url: str) -> None:
    answer = answer_of(page, url, "attacks")
    marks = answer.locator(".unseen").all_inner_texts()
    assert marks == ["U+202E", "U+200B ×3", "U+00AD"]
    page.get_by_role("button", name="Raw").click()
    assert answer.locator(".unseen").all_inner_texts() == marks
    assert "‮" not in page.locator("main").inner_text()
    page.get_by_role("button", name="Copy answer").click()
    page.get_by_role("button", name="Copied").wait_for()
    assert page.evaluate("navigator.clipboard.readText()").strip() == ATTACKS.strip()  # as the model wrote it


def test_a_long_text_is_folded_with_its_length(page: Any, url: str) -> None:
    page.goto(f"{url}/#/query?run=texts&id=long")
    answer = page.get_by_role("region", name="Answer")
    button = answer.get_by_role("button", name="Show all 5 ")
    folded = answer.locator(".reading").bounding_box()["height"]
    assert folded < 400 < len(LONG)
    button.click()
    assert answer.locator(".reading").bounding_box()["height"] > 2 * folded
    answer.get_by_role("button", name="Show less").click()
    assert answer.locator(".reading").bounding_box()["height"] == folded


def test_an_exported_file_renders_the_same(page: Any, browser: Any, url: str, tmp_path: Path) -> None:
    for id in ("markdown", "attacks"):
        page.goto(f"{url}/#/query?run=texts&id={id}")
        with page.expect_download() as download:
            page.get_by_role("button", name="Save as one HTML file").click()
        file = tmp_path / f"{id}.html"
        download.value.save_as(file)
        context = browser.new_context(offline=True)
        alone = context.new_page()
        troubles: list[str] = []
        alone.on("pageerror", lambda error, troubles=troubles: troubles.append(str(error)))
        alone.on("console", lambda message, troubles=troubles: troubles.append(message.text))
        alone.on(
            "request", lambda asked, troubles=troubles: asked.url.startswith("file:") or troubles.append(asked.url)
        )
        alone.goto(file.as_uri())
        alone.get_by_role("region", name="Answer").wait_for()
        if id == "markdown":
            assert alone.locator("math mfrac").count() and alone.locator(".code-keyword").count()
        assert not troubles and alone.title() != "owned" and file.stat().st_size < 400_000
        context.close()
