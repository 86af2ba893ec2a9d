"""An answer in OpenAI's shape: the completion in one piece, and the chunks of a streamed one.

https://platform.openai.com/docs/api-reference/chat/object
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, TypeAlias

import msgspec

from tpo.candidate import Candidate
from tpo.engine.records import Record, Sampled
from tpo.engine.result import Result, RoleUsage

Chunk: TypeAlias = dict[str, Any]

# How an answer can end, as OpenAI has it. One that was cut off at a deadline is as unfinished as one that was too long.
_ENDS = {"stop": "stop", "length": "length", "tool_calls": "tool_calls", "content_filter": "content_filter"}
_CUT = frozenset({"deadline", "budget", "interrupt"})


class Head(msgspec.Struct, frozen=True):
    """What all chunks of an answer have in common.

    Attributes:
        model: the model as the client named it.
        id: the answer's id.
        created: when it was begun, in seconds since 1970.
    """

    model: str
    id: str = msgspec.field(default_factory=lambda: f"chatcmpl-{secrets.token_hex(16)}")
    created: int = msgspec.field(default_factory=lambda: int(time.time()))

    def chunk(self, *choices: Chunk, **more: Any) -> Chunk:
        """A chunk of the stream."""
        kept = {"id": self.id, "object": "chat.completion.chunk", "created": self.created, "model": self.model}
        return {**kept, "choices": list(choices), **more}

    def delta(self, index: int = 0, finish: str | None = None, logprobs: Any = None, **delta: Any) -> Chunk:
        """A chunk by which one answer grows, or ends."""
        more = {"logprobs": logprobs} if logprobs is not None else {}
        return self.chunk({"index": index, "delta": delta, **more, "finish_reason": finish})


def completion(head: Head, best: Sequence[Candidate], result: Result, told: Mapping[str, Any]) -> dict[str, Any]:
    """The answer in one piece.

    Args:
        head: its id and so on.
        best: the candidates that are answered with, the best first.
        result: the search that they come from.
        told: what is said of the search, as the field `tpo`.
    """
    thought = _thought(result.trace)
    choices = [
        {
            "index": index,
            "message": _message(candidate, thought.get(candidate.id)),
            "logprobs": candidate.logprobs,
            "finish_reason": finish_of(candidate),
        }
        for index, candidate in enumerate(best)
    ]
    kept = {"id": head.id, "object": "chat.completion", "created": head.created, "model": head.model}
    return {**kept, "choices": choices, "usage": usage_of(result, best), "tpo": dict(told)}


def chunks(head: Head, best: Sequence[Candidate]) -> Iterator[Chunk]:
    """The answer as a stream's chunks, after the first one and without their usage.

    Args:
        head: the answer's id and so on.
        best: as for `completion`.
    """
    for index, candidate in enumerate(best):
        message = _message(candidate, None)
        if index:  # a stream begins with the first one's
            yield head.delta(index, role="assistant", content="")
        for text in _pieces(message["content"] or ""):
            yield head.delta(index, content=text)
        if candidate.logprobs is not None:
            yield head.delta(index, logprobs=candidate.logprobs)
        if message.get("refusal"):
            yield head.delta(index, refusal=message["refusal"])
        for number, call in enumerate(message.get("tool_calls") or ()):
            yield from _call(head, index, number, call)
        yield head.delta(index, finish_of(candidate))


def finish_of(candidate: Candidate) -> str:
    """How an answer ended, in OpenAI's words."""
    if (candidate.message or {}).get("tool_calls"):
        return "tool_calls"
    return "length" if candidate.finish_reason in _CUT else _ENDS.get(candidate.finish_reason, "stop")


def usage_of(result: Result, best: Sequence[Candidate]) -> dict[str, Any]:
    """The tokens of all roles together; those of the answer and of each role apart, under `tpo`."""
    roles = {role: usage for role, usage in result.usage.items() if usage.calls}
    prompt, completed = (_total(roles, f"{kind}_tokens") for kind in ("prompt", "completion"))
    return {
        "prompt_tokens": prompt,
        "completion_tokens": completed,
        "total_tokens": prompt + completed,
        "prompt_tokens_details": {"cached_tokens": _total(roles, "cached_tokens")},
        "tpo": {
            "answer_tokens": sum(candidate.tokens for candidate in best),
            **{
                role: {kind: getattr(usage, kind) for kind in ("calls", "prompt_tokens", "completion_tokens")}
                for role, usage in roles.items()
            },
        },
    }


def _total(roles: Mapping[str, RoleUsage], kind: str) -> int:
    return sum(getattr(usage, kind) for usage in roles.values())


def _message(candidate: Candidate, thought: str | None) -> dict[str, Any]:
    message = dict(candidate.message or {"content": candidate.text})
    message = {"role": "assistant", "content": message.get("content"), "refusal": None, **message}
    return message | ({"reasoning_content": thought} if thought else {})


def _thought(trace: Sequence[Record]) -> dict[str, str]:
    return {record.id: record.reasoning for record in trace if isinstance(record, Sampled) and record.reasoning}


# Clients draw what comes, a screen at a time: an answer that is there already comes in few pieces.
_PIECE = 1024


def _pieces(text: str) -> Iterator[str]:
    for start in range(0, len(text), _PIECE):
        yield text[start : start + _PIECE]


def _call(head: Head, index: int, number: int, call: Mapping[str, Any]) -> Iterator[Chunk]:
    function = call.get("function") or {}
    begun = {**call, "index": number, "function": {**function, "arguments": ""}}
    yield head.delta(index, tool_calls=[begun])
    for text in _pieces(function.get("arguments") or ""):
        yield head.delta(index, tool_calls=[{"index": number, "function": {"arguments": text}}])
