"""The playground: what is shown while a question is answered, what is kept of it, and how it is stopped."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

import tpo
from view.browser.conftest import CHROMIUM_THERE, NO_CRITIC
from view.runs import QUESTIONS

playwright = pytest.importorskip("playwright.sync_api", reason="Playwright is not installed")

pytestmark = [pytest.mark.browser, CHROMIUM_THERE]


# Keeps what the page shows while a question is answered, however short a time it is there.
SEE = """
window.seen = [];
const look = () => seen.push(document.querySelector("main").innerText);
new MutationObserver(look).observe(document.querySelector("main"), { childList: true, subtree: true });
"""


def ask(page: Any, url: str, question: str, width: str = "3", depth: str = "1") -> None:
    page.goto(f"{url}/#/play")
    page.get_by_label("Question").fill(question)
    page.get_by_label("N, answers a step").fill(width)
    page.get_by_label("D, steps").fill(depth)


def test_a_question_is_answered_live_and_kept(page: Any, url: str, tmp_path: Path) -> None:
    ask(page, url, QUESTIONS[1])
    page.get_by_text("More settings").click()
    page.get_by_label("Temperature").fill("0.3")
    page.get_by_label("Seed").fill("5")
    page.get_by_label("Rules").fill("max-words=60")
    page.evaluate(SEE)
    page.get_by_role("button", name="Answer", exact=True).click()
    page.get_by_text(re.compile(r"^Done\. tpo: the answer is .*, ended: \w+$")).wait_for()
    seen = page.evaluate("seen.join(' | ')")
    for part in ("drawing 3 answers", "best so far", "is being written…", "gives a reason"):
        assert part in seen  # while it went on
    page.get_by_role("heading", name="Step by step").wait_for()
    with page.expect_download() as download:
        page.get_by_role("button", name="Save as trace").click()
    download.value.save_as(tmp_path / "trace.jsonl")
    result = tpo.replay(tmp_path / "trace.jsonl")
    settings = result.trace[0].plan.settings  # type: ignore[union-attr]
    assert (settings.temperature, settings.seed, result.width) == (0.3, 5, 3)
    assert "max-words=60" in str(result.trace[0].plan.reward)  # type: ignore[union-attr]
    page.reload()  # the address keeps question, settings and result
    page.get_by_role("heading", name="Step by step").wait_for()
    assert page.get_by_label("Question").input_value() == QUESTIONS[1]
    assert page.get_by_label("Seed").input_value() == "5"


def test_stopping_is_no_error_and_keeps_what_was_found(page: Any, url: str) -> None:
    ask(page, url, "Why?", depth="8")
    page.get_by_role("button", name="Answer", exact=True).click()
    page.get_by_text("best so far", exact=True).first.wait_for()
    page.get_by_role("button", name="Stop").click()
    page.get_by_text("Stopped. The best answer so far is").wait_for()
    page.get_by_role("region", name="The best answer so far").wait_for()
    assert page.locator(".trouble").count() == 0
    assert page.get_by_role("button", name="Answer", exact=True).is_enabled()


def test_a_search_that_breaks_off_shows_its_best_answer_and_why(page: Any, url: str) -> None:
    ask(page, url, NO_CRITIC)
    page.get_by_role("button", name="Answer", exact=True).click()
    page.get_by_text(re.compile(r"^tpo: broke off, the best answer so far is 0\.\d, reward \d")).wait_for()
    playwright.expect(page.get_by_role("alert")).to_contain_text("refused the key (401")
    page.get_by_role("heading", name="Answer", exact=True).wait_for()
    page.get_by_label("and beside it").select_option("best-of-n")  # which has no critic
    page.get_by_role("button", name="Answer", exact=True).click()
    page.get_by_role("region", name="Both answers").wait_for()
    playwright.expect(page.get_by_role("alert")).to_be_visible()


def test_two_methods_are_shown_side_by_side(page: Any, url: str) -> None:
    ask(page, url, "Why?")
    page.get_by_label("and beside it").select_option("best-of-n")
    page.get_by_role("button", name="Answer", exact=True).click()
    page.get_by_role("region", name="Both answers").wait_for()
    playwright.expect(page.get_by_role("status").first).to_contain_text("best-of-n: the answer is")
    assert page.get_by_role("region", name="Both answers").get_by_role("group", name="tpo", exact=True).count() == 1
    page.reload()
    page.get_by_role("region", name="Both answers").wait_for()
