"""Writes a response: the events of a streamed one, and the object that they add up to."""

from __future__ import annotations

import secrets
import time
from collections.abc import Sequence
from typing import Any, TypeVar

from tpo.server.deltas import Delta, Finished, Narration, Refusal, Text, Thought, ToolCall, deltas_of
from tpo.server.errors import ApiError
from tpo.server.protocols import sse
from tpo.server.protocols.responses.output import Event, Item, OutputCall, OutputMessage, Reasoning, Status
from tpo.server.protocols.responses.request import ResponsesRequest
from tpo.session.response import Completion, TokenUsage

ItemT = TypeVar("ItemT", Reasoning, OutputMessage)

# Why an answer ended early, and what a response calls that.
_INCOMPLETE = {"length": "max_output_tokens", "content_filter": "content_filter"}


class ResponsesRenderer:
    """Writes one response.

    Args:
        request: the request that is answered.
        key: what the ids of the response and its items are made of; random unless given.
        at: when the response was made, in seconds since 1970; now unless given.

    Attributes:
        response: the response so far.
    """

    def __init__(self, request: ResponsesRequest, key: str | None = None, at: int | None = None) -> None:
        self._key = key or secrets.token_hex(16)
        self.id = f"resp_{self._key}"
        self._response = _opening(request, self.id, int(time.time()) if at is None else at)
        self._items: list[Item] = []
        self._status: list[Status] = []  # of each item
        self._finish_reason = "stop"
        self._sequence = 0
        self._events: list[Event] = []

    @property
    def response(self) -> dict[str, Any]:
        """The response so far."""
        output = [item.now(status) for item, status in zip(self._items, self._status, strict=True)]
        return {**self._response, "output": output}

    def begin(self) -> bytes:
        """The events at the beginning."""
        self._add({"type": "response.created", "response": self.response})
        self._add({"type": "response.in_progress", "response": self.response})
        return self._written()

    def delta(self, place: int, delta: Delta) -> bytes:
        """The events of a delta."""
        self._take(delta)
        return self._written()

    def finish(self, place: int, response: Completion) -> bytes:
        """The events that end the response."""
        self._complete(response)
        return self._written()

    def end(self) -> bytes:
        """Nothing: the last event was written by `finish`."""
        return b""

    def fail(self, error: ApiError) -> bytes:
        """The events of a failure."""
        code = "rate_limit_exceeded" if error.status == 429 else "server_error"
        self._status = ["incomplete" if status == "in_progress" else status for status in self._status]
        self._response["status"] = "failed"
        self._response["error"] = {"code": code, "message": str(error)}
        self._add({"type": "error", "code": code, "message": str(error), "param": error.param})
        self._add({"type": "response.failed", "response": self.response})
        return self._written()

    def whole(self, responses: Sequence[Completion]) -> dict[str, Any]:
        """The response in one piece."""
        response = responses[0]
        if response.narration:
            self._take(Narration(response.narration))
        for delta in deltas_of(response):
            self._take(delta)
        self._complete(response)
        self._events.clear()
        return self.response

    def _take(self, delta: Delta) -> None:
        match delta:
            case Narration(text):
                reasoning, place = self._last(Reasoning, "rs")
                self._at(place, reasoning.narrate(text))
            case Thought(0, text):
                reasoning, place = self._last(Reasoning, "rs")
                self._at(place, reasoning.think(text))
            case Text(0, text, logprobs):
                message, place = self._last(OutputMessage, "msg")
                self._at(place, message.grow("output_text", text, (logprobs or {}).get("content") or []))
            case Refusal(0, text):
                message, place = self._last(OutputMessage, "msg")
                self._at(place, message.grow("refusal", text, []))
            case ToolCall(0):
                self._call(delta)
            case Finished(0, reason):
                self._finish_reason = reason
            case _:  # a response has one answer
                pass

    def _complete(self, response: Completion) -> None:
        if not any(isinstance(item, OutputMessage | OutputCall) for item in self._items):
            self._last(OutputMessage, "msg")  # an empty answer is an answer
        reason = _INCOMPLETE.get(self._finish_reason)
        status: Status = "incomplete" if reason else "completed"
        self._close(status)
        self._response["usage"] = usage_body(response.usage)
        if response.search is not None:
            self._response["tpo"] = response.search
        self._response["status"] = status
        self._response["incomplete_details"] = {"reason": reason} if reason else None
        self._response["completed_at"] = None if reason else int(time.time())
        self._add({"type": f"response.{status}", "response": self.response})

    def _last(self, kind: type[ItemT], prefix: str) -> tuple[ItemT, int]:
        """The last item if it is of this kind and still grows, else a new one."""
        item = self._items[-1] if self._items else None
        if isinstance(item, kind) and self._status[-1] == "in_progress":
            return item, len(self._items) - 1
        self._close("completed")
        new = kind(f"{prefix}_{self._key}{len(self._items)}")
        return new, self._append(new)

    def _call(self, call: ToolCall) -> None:
        self._close("completed")
        place = len(self._items)
        item = OutputCall(f"fc_{self._key}{place}", call.id or f"call_{self._key}{place}", call.name)
        self._append(item)
        self._at(place, item.grow(call.arguments))
        self._close("completed")

    def _append(self, item: Item) -> int:
        place = len(self._items)
        self._items.append(item)
        self._status.append("in_progress")
        self._at(place, [{"type": "response.output_item.added", "item": item.now("in_progress")}])
        return place

    def _close(self, status: Status) -> None:
        """Close what still grows."""
        for place, item in enumerate(self._items):
            if self._status[place] == "in_progress":
                self._status[place] = status
                self._at(place, [*item.close(), {"type": "response.output_item.done", "item": item.now(status)}])

    def _at(self, place: int, events: list[Event]) -> None:
        for event in events:
            self._add({**event, "output_index": place})

    def _add(self, event: Event) -> None:
        self._events.append({**event, "sequence_number": self._sequence})
        self._sequence += 1

    def _written(self) -> bytes:
        events, self._events = self._events, []
        return sse.named(events)


def _opening(request: ResponsesRequest, id: str, at: int) -> dict[str, Any]:
    text, reasoning = request.text, request.reasoning
    return {
        "id": id,
        "object": "response",
        "created_at": at,
        "completed_at": None,
        "status": "in_progress",
        "background": False,
        "error": None,
        "incomplete_details": None,
        "instructions": request.instructions,
        "max_output_tokens": request.max_output_tokens,
        "max_tool_calls": request.max_tool_calls,
        "model": request.model,
        "output": [],
        "parallel_tool_calls": request.parallel_tool_calls is not False,
        "previous_response_id": None,
        "prompt_cache_key": request.prompt_cache_key,
        "reasoning": {"effort": reasoning and reasoning.effort, "summary": reasoning and reasoning.summary},
        "safety_identifier": request.safety_identifier,
        "service_tier": request.service_tier or "default",
        "store": False,
        "temperature": request.temperature,
        "text": {"format": (text and text.format) or {"type": "text"}, "verbosity": text and text.verbosity},
        "tool_choice": "auto" if request.tool_choice is None else request.tool_choice,
        "tools": request.tools or [],
        "top_logprobs": request.top_logprobs or 0,
        "top_p": request.top_p,
        "truncation": "disabled",
        "usage": None,
        "user": request.user,
        "metadata": request.metadata or {},
    }


def usage_body(usage: TokenUsage) -> dict[str, Any]:
    """The tokens of all roles together; those of the answer and of each role apart, under `tpo`."""
    return {
        "input_tokens": usage.prompt_tokens,
        "input_tokens_details": {"cached_tokens": usage.cached_tokens, "cache_write_tokens": 0},
        "output_tokens": usage.completion_tokens,
        "output_tokens_details": {"reasoning_tokens": 0},
        "total_tokens": usage.total_tokens,
        "tpo": usage.details,
    }
