"""What the tests of served rewards share: conversations, and exchanges recorded from real servers."""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx

from models.server import Received, response, serving
from tpo.messages import Conversation, answered, conversation
from tpo.rewards.protocol import Score

DATA = Path(__file__).parent / "data"
CHATML = str(DATA / "chatml")
QUERY = "What is the capital of France?"


def chat(answer: str, query: str = QUERY) -> Conversation:
    """A question and its answer."""
    return answered(conversation(query), answer)


def ok(value: Any) -> bytes:
    """A JSON response."""
    return response(json.dumps(value))


def values(scores: list[Score | float]) -> list[float]:
    """The numbers of scores."""
    return [score.value if isinstance(score, Score) else score for score in scores]


@asynccontextmanager
async def recording(url: str, name: str, source: str) -> AsyncIterator[str]:
    """A proxy in front of a real server that writes the exchanges down in data/NAME.json."""
    exchanges: list[dict[str, Any]] = []
    root = url.removesuffix("/v1")

    def forward(request: Received) -> bytes:
        # It holds the loop up until the answer is there, which keeps the exchanges apart.
        answer = httpx.request(
            request.method,
            root + request.path,
            content=request.body,
            headers={"Content-Type": "application/json"},
            timeout=120,
            trust_env=False,
        )
        exchange = {"method": request.method, "path": request.path, "sent": request.body.decode()}
        # All but the folder that the model lies in, which is nobody's business.
        received = re.sub(r'"root":"[^"]*"', '"root":"reward"', answer.text)
        exchanges.append({**exchange, "status": answer.status_code, "received": received})
        return response(answer.content, answer.status_code)

    async with serving(forward) as server:
        yield server.url
    text = json.dumps({"source": source, "exchanges": exchanges}, indent=1, ensure_ascii=False)
    (DATA / f"{name}.json").write_text(text + "\n", "utf-8")


@asynccontextmanager
async def replaying(name: str) -> AsyncIterator[str]:
    """A server that gives a real one's answers, to the very bytes that the real one got."""
    exchanges = json.loads((DATA / f"{name}.json").read_text("utf-8"))["exchanges"]
    known = {(e["method"], e["path"], e["sent"]): response(e["received"], e["status"]) for e in exchanges}

    def respond(request: Received) -> bytes:
        asked = (request.method, request.path, request.body.decode())
        return known.get(asked) or response(json.dumps({"error": f"nobody recorded {asked}"}), 400)

    async with serving(respond) as server:
        yield server.url
