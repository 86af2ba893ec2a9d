"""The documentation's pictures, of a run that is made for them. TPO_SCREENSHOTS=1 renews those in docs/images."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from server.clients.kit import on_thread
from tpo.session.sync import run_sync
from view.browser.conftest import CHROMIUM_THERE
from view.browser.example import NAME, SENTENCES, helpfulness, make, slowly
from view.browser.kit import serving

pytestmark = [pytest.mark.browser, CHROMIUM_THERE]

IMAGES = Path(__file__).parents[3] / "docs" / "images"
# A picture that is larger slows the page of documentation down, and the clone.
LARGEST = 200_000


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    runs = run_sync(make(tmp_path_factory.mktemp("pictures")))
    with on_thread(serving(runs, slowly, helpfulness, NAME, width=5, depth=2)) as address:
        yield address


@pytest.fixture
def page(browser: Any) -> Iterator[Any]:
    context = browser.new_context(viewport={"width": 1200, "height": 960}, color_scheme="light")
    context.set_default_timeout(20_000)
    yield context.new_page()
    context.close()


def shoot(page: Any, name: str, folder: Path, height: int | None = None) -> None:
    """Take a picture of the top of the page; it must be one that can be shown."""
    page.evaluate("document.activeElement.blur(), scrollTo(0, 0)")
    assert "/pytest" not in page.locator("main").inner_text()  # no place on this machine
    clip = {"x": 0, "y": 0, "width": 1200, "height": height or 960}
    file = (IMAGES if os.environ.get("TPO_SCREENSHOTS") else folder) / f"{name}.png"
    file.parent.mkdir(exist_ok=True)
    page.screenshot(path=file, full_page=True, clip=clip)
    assert file.stat().st_size < LARGEST


def test_a_run(page: Any, url: str, tmp_path: Path) -> None:
    page.goto(f"{url}/#/run?run=tpo-d2-n5")
    page.get_by_role("heading", name="Worst").wait_for()
    page.locator(".asked").filter(has_text="Why is the sky blue?").first.wait_for()
    shoot(page, "run", tmp_path, 1240)


def test_a_query(page: Any, url: str, tmp_path: Path) -> None:
    page.goto(f"{url}/#/query?run=tpo-d2-n5&id=00")
    page.locator("blockquote.said").first.wait_for()
    shoot(page, "query", tmp_path, 1130)


def test_a_comparison(page: Any, url: str, tmp_path: Path) -> None:
    page.goto(f"{url}/#/compare?run=best-of-15&with=tpo-d2-n5&sort=difference&order=down")
    page.get_by_role("button", name="Both answers").first.click()
    page.locator("tr.below").wait_for()
    shoot(page, "comparison", tmp_path, 1060)


def test_a_playground_at_work(page: Any, url: str, tmp_path: Path) -> None:
    page.goto(f"{url}/#/play")
    page.get_by_label("Question").fill(next(iter(SENTENCES)))
    page.get_by_role("button", name="Answer", exact=True).click()
    page.locator("blockquote.said").filter(has_text="Begin with").first.wait_for()
    page.locator(".card").nth(2).wait_for()
    shoot(page, "playground", tmp_path, 900)
