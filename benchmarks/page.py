"""How fast the page is with a large run, in a real Chromium: list, run, search, next query, and the tab's memory.

    PYTHONPATH=src:tests python benchmarks/page.py --queries 100000

Each time is from the click or key to the drawn page, the median of several, on a page that is open already. A search
waits 0.2 s for the next key before it begins. The first time is apart, since the server reads the files then. Needs
Playwright and a Chromium (TPO_CHROMIUM, or the one that is installed).
"""

from __future__ import annotations

import argparse
import asyncio
import os
import shutil
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

from playwright.sync_api import sync_playwright

from server.clients.kit import on_thread
from view.browser.conftest import slowly
from view.browser.kit import serving, until
from view.runs import enlarged, length, make

REPEATS = 5


def timed(work: Callable[[], None]) -> float:
    """Seconds that something takes."""
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def measure(page: Any, url: str, queries: int) -> dict[str, float]:
    """The figures, in seconds and megabytes."""
    shown = f"{queries:,}".replace(",", " ")

    def go(address: str) -> None:
        page.evaluate("address => { location.hash = address }", address)

    def open_run() -> None:
        go("#/run?run=huge")
        page.get_by_text(f"{shown} queries", exact=True).wait_for()

    def open_list() -> None:
        go("#/")
        page.locator("table.runs tbody a").first.wait_for()

    def from_list() -> float:
        open_list()
        return timed(open_run)

    def from_run() -> float:
        open_run()
        return timed(open_list)

    page.goto(url)
    page.locator("table.runs tbody a").first.wait_for()
    found = {"run, first": timed(open_run), "run": median(from_list() for _ in range(REPEATS))}
    found["list"] = median(from_run() for _ in range(REPEATS))
    words = ["row-4711", "no such words", "Answer 3", "fruit", "sky"]

    def search(word: str) -> float:
        open_list()
        open_run()
        before = page.locator(".found").element_handle()

        def find() -> None:
            page.get_by_label("Search queries").fill(word)
            until(page, "before => !before.isConnected", before)

        return timed(find)

    found["search, first"] = search("a first search")
    found["search"] = median(search(word) for word in words)
    page.goto(f"{url}/#/query?run=huge&id=row-0&sort=gain&order=down")
    page.locator(".turns").wait_for()

    def turn(key: str) -> None:
        text = page.locator(".turns").inner_text()
        page.keyboard.press(key)
        until(page, "text => (document.querySelector('.turns')?.innerText ?? text) !== text", text)

    found["next query"] = median(timed(lambda: turn("j")) for _ in range(REPEATS))
    found["tab, MB"] = page.evaluate("performance.memory.usedJSHeapSize") / 1e6
    return found


def main() -> None:
    """Measure, and print a line for each figure."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--queries", type=int, default=100_000)
    options = parser.parse_args()
    browser = os.environ.get("TPO_CHROMIUM") or shutil.which("chromium") or shutil.which("chromium-browser")
    with tempfile.TemporaryDirectory() as folder:
        runs = asyncio.run(make(Path(folder)))
        enlarged(runs / "two", runs / "huge", options.queries)
        with on_thread(serving(runs, slowly, length)) as url, sync_playwright() as playwright:
            launched = playwright.chromium.launch(executable_path=browser, args=["--no-sandbox"])
            page = launched.new_context(viewport={"width": 1200, "height": 900}).new_page()
            page.set_default_timeout(120_000)
            for name, value in measure(page, url, options.queries).items():
                print(f"{name:16} {value:8.3f}")
            launched.close()


if __name__ == "__main__":
    main()
