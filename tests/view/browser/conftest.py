"""A real Chromium."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from typing import Any

import pytest

CHROMIUM = os.environ.get("TPO_CHROMIUM") or shutil.which("chromium") or shutil.which("chromium-browser")
CHROMIUM_THERE = pytest.mark.skipif(
    CHROMIUM is None, reason="there is no Chromium: install one, or name it in TPO_CHROMIUM"
)


@pytest.fixture(scope="session")
def browser() -> Iterator[Any]:
    playwright = pytest.importorskip("playwright.sync_api", reason="Playwright is not installed")
    with playwright.sync_playwright() as running:
        launched = running.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield launched
        launched.close()
