"""What the judges' tests share: pools, fake judges, and exchanges recorded from real servers."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from models.server import Received, Respond, models, response
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


def without_paths(path: str, received: str) -> str:
    """An answer as it may be written down: where a model's file lies is nobody's business."""
    return json.dumps({"total_slots": json.loads(received)["total_slots"]}) if path == "/props" else received
