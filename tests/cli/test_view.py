"""`tpo view` as a user meets it: an address, a playground, a clean end, and mistakes in a line."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import socket
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
import pytest

from programs import program
from server.policy import drawing, policy

URL = re.compile(r"the page is at (\S+)/")
# Seconds after which a test fails: events that keep a connection alive would let it wait for ever.
LONGEST = 120.0
REWARD = "def length(conversations):\n    return [float(len(c[-1]['content'])) for c in conversations]\n"
QUESTION = {"question": "Hi", "method": "best-of-n", "width": 2, "depth": 0}


def environment(cwd: Path) -> dict[str, str]:
    return {**os.environ, "COLUMNS": "300", "NO_COLOR": "1", "PYTHONPATH": str(cwd)}


@asynccontextmanager
async def viewing(cwd: Path, *arguments: str) -> AsyncIterator[tuple[asyncio.subprocess.Process, str]]:
    """Run the command, and give its process and the page's address when it listens."""
    (cwd / "my_rewards.py").write_text(REWARD)
    process = await asyncio.create_subprocess_exec(
        *(*program(), "view", "--port", "0", *arguments),
        stderr=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        cwd=cwd,
        env=environment(cwd),
    )
    assert process.stderr is not None
    try:
        async with asyncio.timeout(LONGEST):
            while True:
                line = (await process.stderr.readline()).decode()
                assert line, "it ended before it listened"
                if found := URL.search(line):
                    break
            yield process, found[1]
    finally:
        if process.returncode is None:
            process.kill()
            await process.communicate()


def refused(cwd: Path, *arguments: str) -> str:
    """What it says when it cannot begin, which is a user's mistake."""
    command = [*program(), "view", "--no-open", *arguments]
    ended = subprocess.run(command, cwd=cwd, env=environment(cwd), capture_output=True, text=True, timeout=60)
    assert ended.returncode == 2 and "Traceback" not in ended.stderr
    return ended.stderr


@pytest.mark.parametrize("name", [signal.SIGTERM, signal.SIGINT])
async def test_it_shows_and_plays_and_ends_on_a_signal(tmp_path: Path, name: signal.Signals) -> None:
    async with policy(drawing(["a", "bbb"])) as behind:
        flags = ("--no-open", "--policy", behind.url, "--reward", "python:my_rewards:length", "--width", "4")
        async with viewing(tmp_path, *flags) as (process, url), httpx.AsyncClient(base_url=url) as client:
            assert "<html" in (await client.get("/")).text
            assert (await client.get("/api/sources")).json() == {"runs": [], "traces": []}
            offered = (await client.get("/api/about")).json()
            assert offered["play"]["width"] == 4 and behind.url in offered["play"]["about"] and not offered["live"]
            assert not behind.bodies  # no call before the first question
            played = await client.post("/api/play", json=QUESTION, timeout=30)
            assert "event: story" in played.text and "bbb" in played.text
            process.send_signal(name)
            out, log = await asyncio.wait_for(process.communicate(), 20)
            assert process.returncode == 0 and out == b"" and b"Traceback" not in log


async def test_the_page_shows_that_the_policy_is_not_there(tmp_path: Path) -> None:
    # Bound and not listening while the test runs: a port that is given back soon belongs to another server.
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{unused.getsockname()[1]}"
        flags = ("--no-open", "--policy", f"http://{address}/v1", "--reward", "python:my_rewards:length")
        async with viewing(tmp_path, *flags) as (_, url), httpx.AsyncClient(base_url=url) as client:
            page = (await client.post("/api/play", json=QUESTION, timeout=60)).text
            assert "event: error" in page and address in page
            assert (await client.get("/")).status_code == 200


async def test_a_preference_steers_the_playground(tmp_path: Path) -> None:
    (tmp_path / "kind.txt").write_text("Answers are short and kind.\n")
    flags = ("--no-open", "--policy", "http://127.0.0.1:9/v1", "--prefer", "kind.txt")
    async with viewing(tmp_path, *flags) as (_, url), httpx.AsyncClient(base_url=url) as client:
        assert (await client.get("/api/about")).json()["play"]["about"].endswith("steered by kind.txt")


async def test_the_browser_is_opened_unless_it_must_not_be(tmp_path: Path) -> None:
    browser = tmp_path / "browser"
    browser.write_text(f'#!/bin/sh\necho "$1" >> {tmp_path}/opened\n')
    browser.chmod(0o755)
    environ = {**environment(tmp_path), "BROWSER": str(browser)}
    for flag, opened in (("--no-open", False), ("--open", True)):
        process = await asyncio.create_subprocess_exec(
            *(*program(), "view", "--port", "0", "--no-play", flag),
            stderr=asyncio.subprocess.PIPE,
            cwd=tmp_path,
            env=environ,
        )
        assert process.stderr is not None
        line = (await asyncio.wait_for(process.stderr.readline(), LONGEST)).decode()
        found = URL.search(line)
        assert found, line
        async with httpx.AsyncClient(base_url=found[1]) as client:
            # The address is said before the browser is called, and both before anything is served.
            assert (await client.get("/api/about")).json()["play"] is None
        process.terminate()
        await asyncio.wait_for(process.communicate(), LONGEST)
        log = tmp_path / "opened"
        assert log.exists() == opened
        if opened:
            assert log.read_text().strip() == f"{found[1]}/"


def test_mistakes_are_one_line(tmp_path: Path) -> None:
    assert "nowhere" in refused(tmp_path, "nowhere")
    (tmp_path / "notes.txt").write_text("x")
    assert "notes.txt" in refused(tmp_path, "notes.txt")
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        assert "--port" in refused(tmp_path, "--port", str(taken.getsockname()[1]))
    assert refused(tmp_path, "--port", "99999").count("\n") < 10
