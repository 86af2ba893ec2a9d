"""What tests of protocols share: responses, deltas, and the events of a stream."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from tpo.candidate import Candidate
from tpo.server.deltas import Delta, deltas_of
from tpo.server.protocols.protocol import Renderer
from tpo.session.response import Completion, TokenUsage

USAGE = TokenUsage(3, 1, 2, 2, {"policy": {"calls": 1, "prompt_tokens": 3, "completion_tokens": 2}})


def answer(text: str = "", index: int = 0, finish: str = "stop", **more: Any) -> Candidate:
    """A candidate."""
    return Candidate(id=f"0.{index}", step=0, text=text, finish_reason=finish, tokens=2, **more)


def calls(*named: tuple[str, str, str]) -> dict[str, Any]:
    """An assistant's message that calls tools: id, name and arguments of each."""
    tool_calls = [
        {"id": id, "type": "function", "function": {"name": name, "arguments": arguments}}
        for id, name, arguments in named
    ]
    return {"role": "assistant", "content": None, "tool_calls": tool_calls}


def response(*candidates: Candidate, **more: Any) -> Completion:
    """A complete response."""
    return Completion(list(candidates), USAGE, **more)


def streamed(renderer: Renderer, final: Completion, before: Sequence[Delta] = ()) -> bytes:
    """A whole stream: what came before the complete response, and all the rest of it."""
    out = renderer.begin() + b"".join(renderer.delta(0, delta) for delta in before)
    out += b"".join(renderer.delta(0, delta) for delta in deltas_of(final))
    return out + renderer.finish(0, final) + renderer.end()


def data_of(stream: bytes) -> list[dict[str, Any]]:
    """The JSON of all events of a stream."""
    lines = [line[6:] for line in stream.decode().split("\n") if line.startswith("data: {")]
    return [json.loads(line) for line in lines]


def types_of(events: Sequence[Mapping[str, Any]]) -> list[str]:
    """The types of events, without their common prefix."""
    return [event["type"].removeprefix("response.") for event in events]
