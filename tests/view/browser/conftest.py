"""A real Chromium, and a page in it that must not complain, fetch from elsewhere, or run what models wrote."""

from __future__ import annotations

import asyncio
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from server.clients.kit import on_thread
from server.policy import Said, critic
from tpo.session.sync import run_sync
from view.browser.kit import serving
from view.browser.texts import make as make_texts
from view.runs import EVIL, enlarged, length, make_judged

CHROMIUM = os.environ.get("TPO_CHROMIUM") or shutil.which("chromium") or shutil.which("chromium-browser")
CHROMIUM_THERE = pytest.mark.skipif(
    CHROMIUM is None, reason="there is no Chromium: install one, or name it in TPO_CHROMIUM"
)

# A question whose critic has no key that counts.
NO_CRITIC = "Who may advise here?"
# A run that somebody has named like this.
NAMED = "<img src=x onerror=alert(1)>"


async def slowly(body: dict[str, Any], number: int) -> Said:
    """Answers that grow better, a little later each."""
    await asyncio.sleep(0.1)
    if critic(body) and NO_CRITIC in str(body["messages"]):
        return 401
    if critic(body):
        return f"The better one gives a reason. {EVIL}"
    return f"Because of the light{', scattered by the air' * (number % 5)}. {EVIL}"


@pytest.fixture(scope="session")
def browser() -> Iterator[Any]:
    playwright = pytest.importorskip("playwright.sync_api", reason="Playwright is not installed")
    playwright.expect.set_options(timeout=30_000)  # a busy machine is slow, and nothing here measures time
    with playwright.sync_playwright() as running:
        launched = running.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield launched
        launched.close()


@pytest.fixture(scope="session")
def url(runs: Path) -> Iterator[str]:
    """The page's address; one of its runs is huge, and one has a name that nobody should run."""
    enlarged(runs / "two", runs / "huge", 20_000)
    enlarged(runs / "two", runs / NAMED, 4)
    for name in ("single", "another"):  # one query has no interval
        enlarged(runs / "two", runs / name, 1)
    run_sync(make_texts(runs))
    run_sync(make_judged(runs))
    with on_thread(serving(runs, slowly, length)) as address:
        yield address


@pytest.fixture(params=["light", "dark"])
def page(browser: Any, url: str, request: pytest.FixtureRequest) -> Iterator[Any]:
    """A page that must not complain, ask anybody else, or run what models wrote."""
    viewport = {"width": 1200, "height": 900}
    context = browser.new_context(color_scheme=request.param, viewport=viewport)
    context.grant_permissions(["clipboard-read", "clipboard-write"], origin=url)
    made = context.new_page()
    troubles: list[str] = []
    made.on("pageerror", lambda error: troubles.append(str(error)))
    made.on("console", lambda message: troubles.append(message.text) if message.type == "error" else None)
    made.on("dialog", lambda dialog: troubles.append("a dialog"))
    made.on("request", lambda asked: None if asked.url.startswith((url, "blob:")) else troubles.append(asked.url))
    made.set_default_timeout(30_000)
    yield made
    assert not troubles
    assert made.title() != "owned"
    context.close()
