"""A held-out judge, a panel of models and warnings: in sight on a run and on a query, and their names run nothing."""

from __future__ import annotations

import re
from typing import Any

import pytest

from view.browser.conftest import CHROMIUM_THERE
from view.runs import ARM, JUDGED

playwright = pytest.importorskip("playwright.sync_api", reason="Playwright is not installed")

pytestmark = [pytest.mark.browser, CHROMIUM_THERE]


def test_a_run_shows_what_the_judge_found(page: Any, url: str) -> None:
    page.goto(f"{url}/#/run?run=judged")
    page.get_by_role("heading", name="Worst").wait_for()
    warnings = page.get_by_role("region", name="Warnings").get_by_role("listitem")
    assert "longer than first samples" in warnings.first.inner_text()
    assert "exploits the reward" in warnings.last.inner_text()
    assert "<script>" in page.locator(".tile", has_text="Gain by the judge").inner_text()  # as text
    chart = page.get_by_role("group", name="Reward and held-out judge")
    assert chart.locator("circle.point").count() == JUDGED and chart.locator("path.curve").count() == 1
    both = page.get_by_role("group", name="Gain of reward and judge")
    assert both.locator("path.curve").count() == 2
    chart.locator("a.lead").first.focus()
    page.keyboard.press("Enter")
    page.get_by_role("region", name="Answer").wait_for()


def test_a_run_shows_what_each_model_of_the_panel_brought(page: Any, url: str) -> None:
    page.goto(f"{url}/#/run?run=judged")
    rows = page.get_by_role("region", name="Models of the panel").locator("tbody tr")
    rows.first.wait_for()
    assert [row.locator("th").inner_text() for row in rows.all()] == [ARM, "plain"]
    won = [int(re.match(r"\d+", row.locator("td").first.inner_text())[0]) for row in rows.all()]  # type: ignore[index]
    assert sum(won) == JUDGED


def test_the_command_names_each_model_of_the_panel_and_the_judge(page: Any, url: str) -> None:
    page.goto(f"{url}/#/run?run=judged")
    page.get_by_text("Settings, models and versions").click()
    command = page.locator("pre.command").inner_text()
    assert "--policy plain=http://127.0.0.1" in command and "--policy evil=http://127.0.0.1" in command
    assert "--judge 'judge <script>" in command


def test_a_query_shows_the_judge_and_who_wrote_the_answer(page: Any, url: str) -> None:
    page.goto(f"{url}/#/query?run=judged&id=j1")
    answer = page.get_by_role("region", name="Answer").first
    assert "judge" in answer.inner_text() and "by " in answer.inner_text()
    tile = page.locator(".tile", has_text="Held-out judge")
    assert re.search(r"−[\d.]+ to −[\d.]+", tile.inner_text())
    assert page.get_by_role("group", name="What each model of the panel brought").locator("tbody tr").count() == 2


def test_a_run_without_a_judge_says_nothing_about_one(page: Any, url: str) -> None:
    page.goto(f"{url}/#/run?run=one")
    page.get_by_role("heading", name="Worst").wait_for()
    for words in ("judge", "panel"):
        assert page.locator("main .charts, main .figures, main h2").get_by_text(re.compile(words, re.I)).count() == 0


def test_an_exported_query_has_them_too(page: Any, url: str, tmp_path: Any) -> None:
    page.goto(f"{url}/#/query?run=judged&id=j1")
    with page.expect_download() as saved:
        page.get_by_role("button", name="Save as one HTML file").click()
    file = tmp_path / "story.html"
    saved.value.save_as(file)
    other = page.context.new_page()
    other.goto(file.as_uri())
    other.locator(".tile", has_text="Held-out judge").wait_for()
    assert other.title() != "owned"
