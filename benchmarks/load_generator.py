"""How much a server can give: the same requests, all known beforehand, sent with nothing in between.

    python benchmarks/load_generator.py [--queries 100] [--width 5] [--depth 2] [--stream] [--slots 64] [...]

A closed loop: so many connections, each sends the next request as soon as its last one is answered. It knows no stages,
scores or journals, so no client that does more can finish the same requests much sooner: what it reaches is the
server's ceiling. `ceiling` takes any list of request bodies; the fairest are those that the client under test had sent
(`GET /asked` of a server that runs with --keep). Started as a program it checks the server and itself, and prints the
ceiling for requests like those of a TPO run.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import re
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import httpx

import gpu_engine
import gpu_server

PAUSE = 0.02  # seconds before a request is sent again that was refused
COMPLETION_TOKENS = re.compile(rb'"completion_tokens":\s*(\d+)')
CONTENT_LENGTH = re.compile(rb"\r\ncontent-length:\s*(\d+)", re.IGNORECASE)


@dataclass(frozen=True)
class Load:
    """What came of sending a list of requests.

    Attributes:
        concurrency: connections.
        calls: requests that were answered.
        tokens: of the answers.
        seconds: from the first request to the last answer.
        plateau: calls/s between the first answers and the last ones, as many left out at each end as there are
            connections: what the server gives while everybody wants something.
        refused: responses with status 429.
        stats: the server's own books.
    """

    concurrency: int
    calls: int
    tokens: int
    seconds: float
    plateau: float
    refused: int
    stats: dict[str, Any]

    @property
    def rate(self) -> float:
        """Calls a second over the whole."""
        return self.calls / self.seconds


def ceiling(url: str, bodies: Sequence[bytes], slots: int, factors: Sequence[float] = (1.0, 1.25, 1.5)) -> list[Load]:
    """Send the requests with several concurrencies, multiples of the slots; what was fastest over all comes first."""
    loads = [measure(url, bodies, round(factor * slots)) for factor in factors]
    return sorted(loads, key=lambda load: load.rate, reverse=True)


def measure(url: str, bodies: Sequence[bytes], concurrency: int) -> Load:
    """Send the requests over so many connections, to a server that remembers nothing."""
    httpx.post(beside(url, "reset")).raise_for_status()
    sending = _Sending(url, bodies)
    began = time.perf_counter()
    asyncio.run(sending.all(concurrency))
    ends = sorted(sending.ends)
    rate = len(ends) / (ends[-1] - began)
    inner = ends[concurrency:-concurrency]
    plateau = (len(inner) - 1) / (inner[-1] - inner[0]) if len(inner) > concurrency else rate
    stats = httpx.get(beside(url, "stats")).raise_for_status().json()
    return Load(concurrency, len(ends), sending.tokens, ends[-1] - began, plateau, sending.refused, stats)


def beside(url: str, page: str) -> str:
    """The address of a page next to /v1."""
    return f"{url.removesuffix('/v1')}/{page}"


class _Sending:
    """The list that all connections take their requests from, and what came back."""

    def __init__(self, url: str, bodies: Sequence[bytes]) -> None:
        parts = urlsplit(url)
        self._host, self._port = parts.hostname, parts.port or 80
        head = f"POST {parts.path}/chat/completions HTTP/1.1\r\nHost: {parts.netloc}\r\n".encode()
        head += b"Content-Type: application/json\r\nContent-Length: %d\r\n\r\n%b"
        self._requests = iter([head % (len(body), body) for body in bodies])
        self.ends: list[float] = []
        self.tokens = 0
        self.refused = 0

    async def all(self, concurrency: int) -> None:
        """Send everything."""
        async with asyncio.TaskGroup() as group:
            for _ in range(concurrency):
                group.create_task(self._connection())

    async def _connection(self) -> None:
        """Send one request after the other until none is left."""
        reader, writer = await asyncio.open_connection(self._host, self._port, limit=2**22)
        for request in self._requests:
            status, body = await self._exchange(reader, writer, request)
            while status == 429:
                self.refused += 1
                await asyncio.sleep(PAUSE)
                status, body = await self._exchange(reader, writer, request)
            counted = COMPLETION_TOKENS.findall(body)
            if status != 200 or not counted:
                raise RuntimeError(f"The server answered {status} without a usage: {body[:200]!r}")
            self.ends.append(time.perf_counter())
            self.tokens += int(counted[-1])
        writer.close()

    async def _exchange(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, request: bytes
    ) -> tuple[int, bytes]:
        writer.write(request)
        head = await reader.readuntil(b"\r\n\r\n")
        length = CONTENT_LENGTH.search(head)
        if length:
            body = await reader.readexactly(int(length[1]))
        else:  # the events' data have no carriage return, so that this is the last chunk and nothing else
            body = await reader.readuntil(b"\r\n0\r\n\r\n")
        return int(head[9:12]), body


def like_tpo(
    queries: int, width: int = 5, depth: int = 2, stream: bool = False, answer: int = 128, seed: int = 0
) -> list[bytes]:
    """Request bodies as many, as long, and as alike at their beginnings as TPO's for so many queries.

    A query asks for `width` answers; each step for a textual loss on two answers, a gradient in the same conversation,
    and `width` answers with the gradient. They come in the order of one stage of all queries after the other.
    """
    dice = random.Random(seed)

    def words(count: int) -> str:
        return "".join(dice.choices(gpu_engine.WORDS, k=count))[:-1]

    def body(index: int, *texts: str) -> bytes:
        turns = ["user", "assistant"] * len(texts)
        messages = [{"role": role, "content": text} for role, text in zip(turns, texts, strict=False)]
        usage = {"stream_options": {"include_usage": True}} if stream else {}
        asked = {"model": gpu_server.MODEL, "messages": messages, "temperature": 0.7, "seed": index}
        return json.dumps({**asked, "max_tokens": 8 * answer, "stream": stream, **usage}).encode()

    stages: list[list[bytes]] = [[] for _ in range(1 + 3 * depth)]
    instructions = [words(60) for _ in range(3)]
    for _ in range(queries):
        query = words(dice.randint(10, 60))
        stages[0] += [body(index, query) for index in range(width)]
        for step in range(depth):
            about = f"{instructions[0]}\n{query}\n{words(answer)}\n{words(answer)}"
            loss, gradient = words(answer), words(answer)
            stages[3 * step + 1].append(body(0, about))
            stages[3 * step + 2].append(body(0, about, loss, instructions[1]))
            update = [body(index, about, loss, instructions[1], gradient, instructions[2]) for index in range(width)]
            stages[3 * step + 3] += update
    return [each for stage in stages for each in stage]


def check(url: str, slots: int, queue: int) -> None:
    """What the server promises, asked of a real one that fails nothing."""
    ask = {"model": gpu_server.MODEL, "messages": [{"role": "user", "content": "How old is the oak? " * 20}], "seed": 3}
    with httpx.Client(base_url=url, timeout=30.0) as client:

        def texts(**more: Any) -> list[str]:
            response = client.post("/chat/completions", json={**ask, **more}).raise_for_status()
            return [choice["message"]["content"] for choice in response.json()["choices"]]

        def stats() -> dict[str, Any]:
            got: dict[str, Any] = client.get(beside(url, "stats")).json()
            return got

        client.post(beside(url, "reset"))
        first = texts()
        assert first == texts(), "the same request, another answer"
        assert texts(n=3) == first + texts(seed=4) + texts(seed=5), "n is no fan-out over seeds"
        assert len(first[0]) <= gpu_engine.CHARACTERS * len(first[0].split())
        events = client.post("/chat/completions", json={**ask, "stream": True}).text.split("\n\n")
        chunks = [json.loads(event.removeprefix("data: ")) for event in events if event.startswith("data: {")]
        assert "".join(chunk["choices"][0]["delta"]["content"] for chunk in chunks) == first[0], "streams differ"
        seen = stats()
        assert (seen["answered"], seen["finished"], seen["distinct"], seen["repeated"]) == (6, 8, 5, 1), seen
        assert seen["cached_tokens"] > 0.7 * seen["prompt_tokens"], seen
        full = client.post("/chat/completions", json={**ask, "n": slots + queue + 1})
        assert full.status_code == 429 and full.json()["error"]["code"] == 429
        try:
            client.post("/chat/completions", json={**ask, "n": slots + queue}, timeout=0.02)
        except httpx.TimeoutException:
            time.sleep(0.1)
        seen = stats()
        assert (seen["cancelled"], seen["live"], seen["queued"], seen["most_queued"]) == (1, 0, 0, queue), seen


def check_failures() -> None:
    """Calls fail as often as asked, each time the same ones."""
    bodies = like_tpo(10)

    def fates(url: str) -> list[str]:
        httpx.post(beside(url, "reset"))
        statuses = []
        with httpx.Client() as client:
            for body in bodies:
                try:
                    statuses.append(str(client.post(f"{url}/chat/completions", content=body).status_code))
                except httpx.TransportError:
                    statuses.append("cut")
        return statuses

    with gpu_server.running(error_share=0.1, drop_share=0.1, mean_tokens=8) as url:
        fate = fates(url)
        assert fate == fates(url)
        stats = httpx.get(beside(url, "stats")).json()
    assert (fate.count("500"), fate.count("cut")) == (stats["errors"], stats["drops"]), stats
    assert 0.03 < stats["errors"] / len(bodies) < 0.2 and 0.03 < stats["drops"] / len(bodies) < 0.2, stats


def main(arguments: Sequence[str] | None = None) -> None:
    """Check the server, then print a Markdown table of what it can give."""
    kind = argparse.RawDescriptionHelpFormatter
    server = gpu_server.parser(add_help=False)
    parser = argparse.ArgumentParser(description=__doc__, parents=[server], formatter_class=kind)
    parser.add_argument("--queries", type=int, default=100)
    parser.add_argument("--width", type=int, default=5)
    parser.add_argument("--depth", type=int, default=2)
    parser.add_argument("--stream", action="store_true")
    options = vars(parser.parse_args(arguments))
    ours = {name: options.pop(name) for name in ("queries", "width", "depth", "stream")}
    bodies = like_tpo(**ours, answer=options["mean_tokens"])
    slots = options["slots"]
    with gpu_server.running(**options) as url:
        check(url, slots, options["queue"])
        loads = ceiling(url, bodies, slots)
    check_failures()
    print("All checks passed.\n")
    print("| connections | calls | tokens/call | s | calls/s | on the plateau | mean live | cached | server CPU/call |")
    print("| --- | --- | --- | --- | --- | --- | --- | --- | --- |")
    for load in loads:
        stats = load.stats
        print(
            f"| {load.concurrency} | {load.calls} | {load.tokens / load.calls:.1f} | {load.seconds:.2f} "
            f"| {load.rate:.0f} | {load.plateau:.0f} | {stats['mean_live']:.1f} "
            f"| {stats['cached_tokens'] / stats['prompt_tokens']:.0%} "
            f"| {1e6 * stats['cpu_seconds'] / load.calls:.0f} µs |"
        )


if __name__ == "__main__":
    main()
