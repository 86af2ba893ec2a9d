"""`tpo serve` as a user meets it: a process, its messages, its signals and its exit codes."""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from programs import program
from server.policy import Said, critic, drawing, policy

URL = re.compile(r"serving at (\S+)/v1")
REWARD = "def length(conversations):\n    return [float(len(c[-1]['content'])) for c in conversations]\n"


@asynccontextmanager
async def serving(cwd: Path, *flags: str, **environment: str) -> AsyncIterator[tuple[asyncio.subprocess.Process, str]]:
    """Run the command, and give its process and URL when it listens."""
    (cwd / "my_rewards.py").write_text(REWARD)
    process = await asyncio.create_subprocess_exec(
        *(*program(), "serve", "--port", "0", "--reward", "python:my_rewards:length", "--no-check"),
        *flags,
        stderr=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        cwd=cwd,
        env={**os.environ, "COLUMNS": "300", "NO_COLOR": "1", "PYTHONPATH": str(cwd), **environment},
    )
    assert process.stderr is not None
    try:
        while True:
            line = (await asyncio.wait_for(process.stderr.readline(), 120)).decode()
            assert line, "it ended before it listened"
            if found := URL.search(line):
                break
        yield process, f"{found[1]}/v1"
    finally:
        if process.returncode is None:
            process.kill()
            await process.communicate()


async def refused(cwd: Path, *flags: str) -> str:
    """What it says when it cannot begin, which is a user's mistake."""
    process = await asyncio.create_subprocess_exec(
        *(*program(), "serve", *flags),
        stderr=asyncio.subprocess.PIPE,
        cwd=cwd,
        env={**os.environ, "COLUMNS": "300", "NO_COLOR": "1"},
    )
    _, error = await asyncio.wait_for(process.communicate(), 120)
    assert process.returncode == 2 and b"Traceback" not in error
    return error.decode()


async def ask(url: str, model: str = "small:best-of-2", **headers: str) -> httpx.Response:
    body = {"model": model, "messages": [{"role": "user", "content": "Hi"}]}
    async with httpx.AsyncClient(timeout=30) as client:
        while True:
            ready = await client.get(f"{url.removesuffix('/v1')}/ready")
            if ready.status_code == 200:
                break
            await asyncio.sleep(0.05)
        return await client.post(f"{url}/chat/completions", json=body, headers=headers)


@pytest.mark.parametrize("name", [signal.SIGTERM, signal.SIGINT])
async def test_it_answers_and_ends_on_a_signal(tmp_path: Path, name: signal.Signals) -> None:
    async with policy(drawing(["a", "bbb"])) as behind, serving(tmp_path, "--policy", behind.url) as (process, url):
        assert (await ask(url)).json()["choices"][0]["message"]["content"] == "bbb"
        process.send_signal(name)
        out, log = await asyncio.wait_for(process.communicate(), 20)
        assert process.returncode == 0 and out == b""
        assert b"model=small:best-of-2 kind=aligned" in log and b"Hi" not in log and b"bbb" not in log


async def test_requests_under_way_get_their_best_so_far(tmp_path: Path) -> None:
    async def answer(body: dict[str, Any], number: int) -> Said:
        if critic(body):
            await asyncio.sleep(60)
        return ["a", "bbb"][number % 2]

    flags = ("--grace", "0.2", "--width", "2")
    async with policy(answer) as behind, serving(tmp_path, "--policy", behind.url, *flags) as (process, url):
        response = asyncio.create_task(ask(url, "small:tpo"))
        while not any(critic(body) for body in behind.bodies):
            behind.asked.clear()
            await asyncio.wait_for(behind.asked.wait(), 20)
        process.terminate()
        body = (await response).json()
        assert body["choices"][0]["message"]["content"] == "bbb" and body["tpo"]["stop"] == "interrupt"
        await asyncio.wait_for(process.communicate(), 20)
        assert process.returncode == 0


async def test_contents_and_traces_only_on_request(tmp_path: Path) -> None:
    flags = ("--log", "json", "--log-contents", "--record", "kept")
    async with (
        policy(drawing(["a", "bbb"])) as behind,
        serving(tmp_path, "--policy", behind.url, *flags) as (process, url),
    ):
        await ask(url)
        process.terminate()
        _, log = await asyncio.wait_for(process.communicate(), 20)
        assert b'"answered":["bbb"]' in log
        lines = [json.loads(line) for line in log.splitlines()]
        assert all(line["message"] and line["level"] for line in lines)
        assert len(list((tmp_path / "kept").glob("*/*.jsonl"))) == 1


async def test_a_key_from_the_environment(tmp_path: Path) -> None:
    key = "tpo-" + "s" * 40
    async with policy(drawing(["a"])) as behind:
        flags = ("--policy", behind.url, "--host", "0.0.0.0")
        async with serving(tmp_path, *flags, TPO_SERVE_KEY=key) as (_, url):
            url = url.replace("0.0.0.0", "127.0.0.1")
            assert (await ask(url)).status_code == 401
            assert (await ask(url, authorization=f"Bearer {key}")).status_code == 200


async def test_a_file_names_what_is_served(tmp_path: Path) -> None:
    async with policy(drawing(["a", "bbb"])) as behind:
        brief = '[rewards.brief]\nuse = "python:my_rewards:length"\nrequire = ["max-words=1"]\n'
        (tmp_path / "tpo.toml").write_text(f'policy = "{behind.url}"\nwidth = 2\nmax-width = 3\n{brief}')
        async with serving(tmp_path) as (_, url):
            answer = (await ask(url, "small:tpo-d0-n3")).json()
            assert answer["tpo"]["width"] == 3
            assert (await ask(url, "small:tpo-n4")).status_code == 400


async def test_mistakes_are_one_line(tmp_path: Path) -> None:
    assert "tpo key" in await refused(tmp_path, "--host", "0.0.0.0")
    assert "not an http(s) URL" in await refused(tmp_path, "--policy", "ftp://x", "--port", "0")
    assert "no method" in await refused(tmp_path, "--preset", "magic", "--port", "0")
    assert "keys.toml" in await refused(tmp_path, "--keys", "keys.toml")
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        assert "--port" in await refused(tmp_path, "--port", str(taken.getsockname()[1]))


async def test_a_policy_that_is_not_up_yet_is_waited_for(tmp_path: Path) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        nobody = f"http://127.0.0.1:{free.getsockname()[1]}/v1"
    async with serving(tmp_path, "--policy", nobody) as (_, url), httpx.AsyncClient() as client:
        assert (await client.get(f"{url.removesuffix('/v1')}/health")).status_code == 200
        ready = await client.get(f"{url.removesuffix('/v1')}/ready")
        assert ready.status_code == 503 and ready.headers["retry-after"] == "5"
        answer = await client.post(f"{url}/chat/completions", json={"model": "small", "messages": []})
        assert answer.status_code == 503
