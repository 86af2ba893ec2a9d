"""The documentation's pictures, of runs that are made for them, at two widths and in both colours.

TPO_SCREENSHOTS=1 renews those in docs/images.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from server.clients.kit import on_thread
from tpo.session.sync import run_sync
from view.browser.conftest import CHROMIUM_THERE
from view.browser.example import NAME, SENTENCES, helpfulness, make, slowly
from view.browser.kit import serving

image = pytest.importorskip("PIL.Image", reason="Pillow is not installed")

pytestmark = [pytest.mark.browser, CHROMIUM_THERE]

IMAGES = Path(__file__).parents[3] / "docs" / "images"
# A picture that is larger slows the page of documentation down, and the clone.
LARGEST = 200_000
COLOURS = 64


class Look(NamedTuple):
    """How a picture is taken; `suffix` ends its file's name."""

    width: int
    scheme: str
    suffix: str


LOOKS = [
    Look(1200, "light", ""),
    Look(1200, "dark", "-dark"),
    Look(390, "light", "-phone"),
    Look(390, "dark", "-phone-dark"),
]


@pytest.fixture(scope="module")
def shown(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    runs = run_sync(make(tmp_path_factory.mktemp("pictures")))
    with on_thread(serving(runs, slowly, helpfulness, NAME, width=5, depth=2)) as address:
        yield address


@pytest.fixture(params=LOOKS, ids=[f"{look.width}-{look.scheme}" for look in LOOKS])
def look(request: pytest.FixtureRequest) -> Look:
    found: Look = request.param
    return found


@pytest.fixture
def camera(browser: Any, look: Look) -> Iterator[Any]:
    context = browser.new_context(viewport={"width": look.width, "height": 960}, color_scheme=look.scheme)
    context.set_default_timeout(20_000)
    yield context.new_page()
    context.close()


def shoot(page: Any, name: str, look: Look, folder: Path, height: int) -> None:
    """Take a picture of the top of the page; it must be one that can be shown."""
    page.evaluate("document.activeElement.blur(), scrollTo(0, 0)")
    assert "/pytest" not in page.locator("main").inner_text()  # no place on this machine
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    file = (IMAGES if os.environ.get("TPO_SCREENSHOTS") else folder) / f"{name}{look.suffix}.png"
    file.parent.mkdir(exist_ok=True)
    clip = {"x": 0, "y": 0, "width": look.width, "height": height if look.width > 600 else 1200}
    page.screenshot(path=file, full_page=True, clip=clip)
    with image.open(file) as taken:
        smaller = taken.convert("RGB").quantize(COLOURS)
    smaller.save(file, optimize=True)
    assert file.stat().st_size < LARGEST


def test_a_run(camera: Any, shown: str, look: Look, tmp_path: Path) -> None:
    camera.goto(f"{shown}/#/run?run=tpo-d2-n5")
    camera.get_by_role("heading", name="Worst").wait_for()
    camera.locator(".asked").filter(has_text="Why is the sky blue?").first.wait_for()
    shoot(camera, "run", look, tmp_path, 1240)


def test_a_query(camera: Any, shown: str, look: Look, tmp_path: Path) -> None:
    camera.goto(f"{shown}/#/query?run=tpo-d2-n5&id=00")
    camera.locator("blockquote.criticism").first.wait_for()
    shoot(camera, "query", look, tmp_path, 1300)


def test_a_comparison(camera: Any, shown: str, look: Look, tmp_path: Path) -> None:
    camera.goto(f"{shown}/#/compare?run=best-of-15&with=tpo-d2-n5&sort=difference&order=down")
    camera.get_by_role("button", name="Both answers").first.click()
    camera.locator("tr.below").wait_for()
    shoot(camera, "comparison", look, tmp_path, 1200)


def test_a_playground_at_work(camera: Any, shown: str, look: Look, tmp_path: Path) -> None:
    camera.goto(f"{shown}/#/play")
    camera.get_by_label("Question").fill(next(iter(SENTENCES)))
    camera.get_by_role("button", name="Answer", exact=True).click()
    camera.locator("blockquote.criticism").filter(has_text="Begin with").first.wait_for()
    camera.locator(".card").nth(2).wait_for()
    shoot(camera, "playground", look, tmp_path, 900)
