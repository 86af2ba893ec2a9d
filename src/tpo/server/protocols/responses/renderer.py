"""Writes a response: the events of a streamed one, and the object that they add up to.

Everything is a fold over entries: deltas, and what begins and ends a response. A stored response is the list of its
entries, from which the same events with the same numbers are made again.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Sequence
from typing import Any, TypeAlias, TypeVar

import msgspec

from tpo.server.deltas import Delta, Finished, Narration, Refusal, Text, Thought, ToolCall, deltas_of
from tpo.server.errors import ApiError
from tpo.server.protocols import sse
from tpo.server.protocols.responses.output import Event, Item, OutputCall, OutputMessage, Reasoning, Status
from tpo.server.protocols.responses.request import ResponsesRequest
from tpo.session.response import Completion, TokenUsage

ItemT = TypeVar("ItemT", Reasoning, OutputMessage)


class Begun(msgspec.Struct, frozen=True, tag=True):
    """The work on a response begins, which waited for its turn until now."""


class Completed(msgspec.Struct, frozen=True, tag=True):
    """A response is complete.

    Attributes:
        usage: its tokens.
        search: the summary of the search.
        at: when, in seconds since 1970.
        cancelled: its client ended it early.
    """

    usage: TokenUsage
    search: dict[str, Any] | None
    at: int
    cancelled: bool = False


class Failed(msgspec.Struct, frozen=True, tag=True):
    """There is no answer.

    Attributes:
        status: the HTTP status of the error.
        message: what went wrong.
        param: the field at fault, if it is one.
    """

    status: int
    message: str
    param: str | None = None


Entry: TypeAlias = Begun | Delta | Completed | Failed

# Why an answer ended early, and what a response calls that.
_INCOMPLETE = {"length": "max_output_tokens", "content_filter": "content_filter"}


class ResponsesRenderer:
    """Writes one response.

    Args:
        request: the request that is answered.
        key: what the ids of the response and its items are made of; random unless given.
        at: when the response was made, in seconds since 1970; now unless given.

    Attributes:
        request: the request that is answered.
        at: when the response was created.
        entries: what the response was made from so far.
    """

    def __init__(self, request: ResponsesRequest, key: str | None = None, at: int | None = None) -> None:
        self._key = key or secrets.token_hex(16)
        self.id = f"resp_{self._key}"
        self.request = request
        self.at = int(time.time()) if at is None else at
        self.entries: list[Entry] = []
        self._response = _opening(request, self.id, self.at)
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

    @property
    def over(self) -> bool:
        """Whether the response has ended, however it did."""
        return bool(self.entries) and isinstance(self.entries[-1], Completed | Failed)

    def opening(self) -> list[Event]:
        """The events at the beginning."""
        self._add({"type": "response.created", "response": self.response})
        self._add({"type": f"response.{self._response['status']}", "response": self.response})
        return self._taken()

    def apply(self, entry: Entry) -> list[Event]:
        """Take an entry.

        Returns:
            Its events.
        """
        self.entries.append(entry)
        match entry:
            case Begun():
                self._response["status"] = "in_progress"
                self._add({"type": "response.in_progress", "response": self.response})
            case Completed():
                self._complete(entry)
            case Failed():
                self._fail(entry)
            case _:
                self._take(entry)
        return self._taken()

    def begin(self) -> bytes:
        """The events at the beginning."""
        return sse.named(self.opening())

    def delta(self, place: int, delta: Delta) -> bytes:
        """The events of a delta."""
        return sse.named(self.apply(delta))

    def finish(self, place: int, response: Completion) -> bytes:
        """The events that end the response."""
        return sse.named(self.apply(Completed(response.usage, response.search, int(time.time()))))

    def end(self) -> bytes:
        """Nothing: the last event was written by `finish`."""
        return b""

    def fail(self, error: ApiError) -> bytes:
        """The events of a failure."""
        return sse.named(self.apply(Failed(error.status, str(error), error.param)))

    def whole(self, responses: Sequence[Completion]) -> dict[str, Any]:
        """The response in one piece."""
        response = responses[0]
        if response.narration:
            self.apply(Narration(response.narration))
        for delta in deltas_of(response):
            self.apply(delta)
        self.apply(Completed(response.usage, response.search, int(time.time())))
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

    def _complete(self, completed: Completed) -> None:
        if not completed.cancelled and not any(isinstance(item, OutputMessage | OutputCall) for item in self._items):
            self._last(OutputMessage, "msg")  # an empty answer is an answer
        reason = None if completed.cancelled else _INCOMPLETE.get(self._finish_reason)
        ended: Status = "incomplete" if reason or completed.cancelled else "completed"
        self._close(ended)
        self._response["usage"] = usage_body(completed.usage)
        if completed.search is not None:
            self._response["tpo"] = completed.search
        self._response["status"] = "cancelled" if completed.cancelled else ended
        self._response["incomplete_details"] = {"reason": reason} if reason else None
        self._response["completed_at"] = completed.at if ended == "completed" else None
        # The protocol has no event of its own for a response that was cancelled.
        self._add({"type": f"response.{ended}", "response": self.response})

    def _fail(self, failed: Failed) -> None:
        code = "rate_limit_exceeded" if failed.status == 429 else "server_error"
        self._status = ["incomplete" if status == "in_progress" else status for status in self._status]
        self._response["status"] = "failed"
        self._response["error"] = {"code": code, "message": failed.message}
        self._add({"type": "error", "code": code, "message": failed.message, "param": failed.param})
        self._add({"type": "response.failed", "response": self.response})

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

    def _taken(self) -> list[Event]:
        events, self._events = self._events, []
        return events


def _opening(request: ResponsesRequest, id: str, at: int) -> dict[str, Any]:
    text, reasoning = request.text, request.reasoning
    return {
        "id": id,
        "object": "response",
        "created_at": at,
        "completed_at": None,
        "status": "queued" if request.background else "in_progress",
        "background": bool(request.background),
        "error": None,
        "incomplete_details": None,
        "instructions": request.instructions,
        "max_output_tokens": request.max_output_tokens,
        "max_tool_calls": request.max_tool_calls,
        "model": request.model,
        "output": [],
        "parallel_tool_calls": request.parallel_tool_calls is not False,
        "previous_response_id": request.previous_response_id,
        "prompt_cache_key": request.prompt_cache_key,
        "reasoning": {"effort": reasoning and reasoning.effort, "summary": reasoning and reasoning.summary},
        "safety_identifier": request.safety_identifier,
        "service_tier": request.service_tier or "default",
        "store": bool(request.store),
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
