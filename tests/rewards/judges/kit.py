"""What the judges' tests share: pools, fake judges, and exchanges recorded from real servers."""

from __future__ import annotations

import json
import math
import re
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx

from models.server import Received, Respond, models, response, serving
from tpo.messages import Conversation, answered, conversation

DATA = Path(__file__).parent / "data"
QUERY = "What is the capital of France?"


def chat(answer: str, query: str = QUERY) -> Conversation:
    """A question and its answer."""
    return answered(conversation(query), answer)


def completion(text: str, *places: tuple[str, Mapping[str, float]], finish: str = "stop", **message: Any) -> bytes:
    """A chat completion, whole; each place is a token and the probabilities of the likeliest there."""
    choice: dict[str, Any] = {
        "index": 0,
        "message": {"role": "assistant", "content": text, **message},
        "finish_reason": finish,
        "logprobs": None,
    }
    if places:
        choice["logprobs"] = {"content": [_place(token, top) for token, top in places]}
    usage = {"prompt_tokens": 20, "completion_tokens": 3}
    return response(json.dumps({"object": "chat.completion", "choices": [choice], "usage": usage}))


def _place(token: str, top: Mapping[str, float]) -> dict[str, Any]:
    likely = [{"token": text, "logprob": math.log(p), "bytes": list(text.encode())} for text, p in top.items()]
    return {"token": token, "logprob": math.log(top.get(token, 0.01)), "top_logprobs": likely}


def saying(reply: Callable[[str], bytes]) -> Respond:
    """A server of one model, which replies by a function of what it is asked."""

    def respond(request: Received) -> bytes:
        return models("m") if request.path == "/v1/models" else reply(prompt(request.json))

    return respond


def prompt(body: dict[str, Any]) -> str:
    """The user's message of a request."""
    text: str = body["messages"][-1]["content"]
    return text


def shown(asked: str) -> list[str]:
    """The answers that a question to the judge shows, in their order."""
    return re.findall(r"<answer>\n(.*?)\n</answer>", asked, re.DOTALL)


def comparing(strength: Callable[[str], float], mass: float | None = None, leaning: float = 0.0) -> Respond:
    """A judge of pairs that knows how strong each answer is, and leans towards the one shown first.

    Args:
        strength: log-strength of an answer.
        mass: the share of the probability that is on labels; None tells no probabilities.
        leaning: log-odds that being first is worth.
    """

    def reply(asked: str) -> bytes:
        first, second = shown(asked)
        p = 1 / (1 + math.exp(strength(second) - strength(first) - leaning))
        if mass is None:
            return completion("A" if p > 0.5 else "B" if p < 0.5 else "tie")
        token = "A" if p >= 0.5 else " B"
        return completion(token.strip(), (token, {"A": mass * p, " B": mass * (1 - p), "The": 1 - mass + 1e-9}))

    return saying(reply)


@asynccontextmanager
async def recording(url: str, key: str, name: str, source: str) -> AsyncIterator[str]:
    """A proxy in front of a real server that writes the exchanges down in data/NAME.json."""
    exchanges: list[dict[str, Any]] = []
    root = url.removesuffix("/v1")

    def forward(request: Received) -> bytes:
        # It holds the loop up until the answer is there, which keeps the exchanges apart.
        answer = httpx.request(
            request.method,
            root + request.path,
            content=request.body,
            headers={"Content-Type": "application/json", "Authorization": f"Bearer {key}"},
            timeout=300,
            trust_env=False,
        )
        exchange = {"method": request.method, "path": request.path, "sent": request.body.decode()}
        received = answer.text
        if request.path == "/props":  # it tells where the model's file lies, which is nobody's business
            received = json.dumps({"total_slots": answer.json()["total_slots"]})
        exchanges.append({**exchange, "status": answer.status_code, "received": received})
        return response(answer.content, answer.status_code)

    async with serving(forward) as server:
        yield server.url
    DATA.mkdir(exist_ok=True)
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
