"""The page of `tpo report` in a browser: complete, nothing from elsewhere, readable on a phone, and nothing for axe."""

from __future__ import annotations

from collections.abc import Iterator
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest

from tpo.evals.figures.report import make_report
from view.browser.conftest import CHROMIUM_THERE

pytest.importorskip("playwright.sync_api", reason="Playwright is not installed")
pytest.importorskip("matplotlib")

pytestmark = [pytest.mark.browser, CHROMIUM_THERE]


@pytest.fixture(scope="session")
def report(runs: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_report([runs / "one", runs / "two"], tmp_path_factory.mktemp("report")).page


@pytest.fixture(params=[(1200, "light"), (1200, "dark"), (390, "light"), (390, "dark")], ids=str)
def opened(browser: Any, report: Path, request: pytest.FixtureRequest) -> Iterator[Any]:
    width, scheme = request.param
    context = browser.new_context(color_scheme=scheme, viewport={"width": width, "height": 900})
    page = context.new_page()
    requests: list[str] = []
    page.on("request", lambda one: requests.append(one.url))
    page.goto(report.as_uri())
    yield page
    assert requests == [report.as_uri()]
    assert page.title() != "owned"
    context.close()


def test_the_report_is_readable_and_accessible(opened: Any) -> None:
    assert opened.evaluate("document.documentElement.scrollWidth <= innerWidth")
    opened.evaluate("document.querySelectorAll('details').forEach(one => { one.open = true })")
    opened.evaluate((files("axe_playwright_python") / "axe.min.js").read_text())
    assert not opened.evaluate("axe.run().then(r => r.violations.map(v => v.id + ': ' + v.nodes[0].html))")


def test_contents_lead_to_their_sections_and_the_method_stays_in_sight(opened: Any) -> None:
    link = opened.get_by_role("navigation").get_by_role("link", name="Reward by step")
    link.click()
    assert opened.evaluate("document.querySelector(location.hash).querySelector('h3').textContent") == "Reward by step"
    table = opened.get_by_role("region").first
    table.evaluate("one => { one.scrollLeft = 200 }")
    first = table.locator("tbody th").first
    assert first.bounding_box()["x"] >= table.bounding_box()["x"]
