"""Background responses under SIGKILL: servers are killed at random moments until every response is complete.

    PYTHONPATH=src:tests python -m server.store.kills --kills 20 --responses 40

Each response has to end with the answer that it has without kills, and no call whose result was in a journal when a
server was killed may reach the policy again.
"""

from __future__ import annotations

import argparse
import asyncio
import hashlib
import json
import os
import random
import re
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx

from programs import program
from server.policy import Said, critic, policy
from tpo.engine.journal import read_journal
from tpo.engine.records import Record, Replied, Sampled

URL = re.compile(r"serving at (\S+)/v1")
REWARD = "def hashed(conversations):\n    return [float(sum(c[-1]['content'].encode()) % 997) for c in conversations]\n"
OPTIONS = ["--width", "3", "--depth", "2", "--seed", "1", "--reward", "python:my_rewards:hashed", "--no-check"]


class World:
    """A policy whose replies depend on nothing but the request, and what it was asked.

    Attributes:
        asked: the replies that were given, in their order.
        seconds: how long a reply takes.
    """

    def __init__(self, seconds: float) -> None:
        self.asked: list[str] = []
        self.seconds = seconds

    async def answer(self, body: dict[str, Any], number: int) -> Said:
        digest = hashlib.sha256(json.dumps(body, sort_keys=True).encode()).hexdigest()
        reply = f"{'Advice' if critic(body) else 'Answer'} {digest[:24]}"
        self.asked.append(reply)
        await asyncio.sleep(self.seconds * (0.5 + int(digest[:2], 16) / 256))
        return reply


@asynccontextmanager
async def served(folder: Path, url: str) -> AsyncIterator[tuple[asyncio.subprocess.Process, httpx.AsyncClient]]:
    """`tpo serve` with a store, in a process of its own that is killed at the end."""
    (folder / "my_rewards.py").write_text(REWARD)
    source = Path(__file__).parents[3] / "src"
    process = await asyncio.create_subprocess_exec(
        *(*program(), "serve", "--port", "0", "--policy", url, "--store", "store", "--no-ui"),
        *OPTIONS,
        stderr=asyncio.subprocess.PIPE,
        cwd=folder,
        env={**os.environ, "COLUMNS": "300", "NO_COLOR": "1", "PYTHONPATH": f"{folder}{os.pathsep}{source}"},
    )
    assert process.stderr is not None
    reading = None
    try:
        while True:
            line = (await process.stderr.readline()).decode()
            assert line, "the server ended before it listened"
            if found := URL.search(line):
                break
        reading = asyncio.ensure_future(process.stderr.read())  # so that the pipe never fills up
        async with httpx.AsyncClient(base_url=f"{found[1]}/v1", timeout=60) as client:
            while (await client.get("../ready")).status_code != 200:  # noqa: ASYNC110 - another process
                await asyncio.sleep(0.02)
            yield process, client
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()
        if reading is not None:
            await reading


async def begun(client: httpx.AsyncClient, question: str) -> str:
    """Begin a response: its id."""
    body = {"model": "small:tpo", "input": question, "background": True}
    answer = await client.post("/responses", json=body)
    assert answer.status_code == 200, answer.text
    return str(answer.json()["id"])


async def ended(client: httpx.AsyncClient, id: str) -> dict[str, Any]:
    """A response, once it is complete."""
    async with client.stream("GET", f"/responses/{id}?stream=true") as stream:
        assert stream.status_code == 200
        async for _ in stream.aiter_bytes():
            pass
    response: dict[str, Any] = (await client.get(f"/responses/{id}")).json()
    return response


def records(folder: Path) -> list[Record]:
    """Everything that is in a journal."""
    found: list[Record] = []
    for trace in sorted(folder.glob("store/resp_*/trace.jsonl")):
        if trace.stat().st_size:
            found += read_journal(trace)[0]
    return found


def texts(journalled: list[Record]) -> set[str]:
    """The replies of calls that are in a journal."""
    return {record.text for record in journalled if isinstance(record, Sampled | Replied) and record.text}


async def check(kills: int, responses: int, *, seconds: float = 0.05, seed: int = 1) -> dict[str, Any]:
    """Kill servers, and compare what comes of it with what comes without.

    Args:
        kills: how many servers are killed.
        responses: how many responses are under way.
        seconds: how long a reply of the policy takes.
        seed: decides the moments.

    Returns:
        What happened, in numbers.

    Raises:
        AssertionError: a response is not what it should be, or a call was paid twice.
    """
    chance = random.Random(seed)
    questions = [f"Question {number}" for number in range(responses)]
    plain, killed = World(0.0), World(seconds)
    began = time.monotonic()
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        (folder / "a").mkdir()
        (folder / "b").mkdir()
        async with policy(plain.answer) as behind, served(folder / "a", behind.url) as (_, client):
            ids = [await begun(client, question) for question in questions]
            expected = [answer_of(await ended(client, id)) for id in ids]
        async with policy(killed.answer) as behind:
            ids = []
            for number in range(kills + 1):
                known, before = texts(records(folder / "b")), len(killed.asked)
                async with served(folder / "b", behind.url) as (process, client):
                    while len(ids) < responses:
                        ids.append(await begun(client, questions[len(ids)]))
                    if number < kills:
                        await asyncio.sleep(chance.uniform(0.0, 4 * seconds))
                        process.kill()
                        await process.wait()
                    else:
                        finished = [await ended(client, id) for id in ids]
                again = known & set(killed.asked[before:])
                assert not again, f"{len(again)} calls were paid twice"
        places = [
            (record.turn, record.action, getattr(record, "index", 0), type(record).__name__, record.text)
            for record in records(folder / "b")
            if isinstance(record, Sampled | Replied)
        ]
        assert len(places) == len(set(places)), "a result is in a journal twice"
    assert all(response["status"] == "completed" for response in finished)
    assert [answer_of(response) for response in finished] == expected
    return {
        "kills": kills,
        "responses": responses,
        "calls undisturbed": len(plain.asked),
        "calls": len(killed.asked),
        "seconds": round(time.monotonic() - began, 1),
    }


def answer_of(response: dict[str, Any]) -> tuple[str, float]:
    """What has to be equal."""
    (message,) = [item for item in response["output"] if item["type"] == "message"]
    return message["content"][0]["text"], response["tpo"]["reward"]


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--responses", type=int, default=40)
    parser.add_argument("--seconds", type=float, default=0.3)
    arguments = parser.parse_args()
    print(json.dumps(asyncio.run(check(arguments.kills, arguments.responses, seconds=arguments.seconds)), indent=2))
