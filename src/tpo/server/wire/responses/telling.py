"""A chat completion, told as a response: the events of a streamed one, and the object that they add up to."""

from __future__ import annotations

import secrets
import time
from collections.abc import Mapping
from typing import Any, TypeVar

from tpo.server.wire.responses.output import Call, Event, Item, Reasoning, Said, Status
from tpo.server.wire.responses.request import ResponsesRequest

ItemT = TypeVar("ItemT", Reasoning, Said)

# Why an answer ended before its end, and what a response calls that.
_CUT = {"length": "max_output_tokens", "content_filter": "content_filter"}


class Telling:
    """Turns the chunks of a chat completion into the events of a response.

    Args:
        asked: the request that is answered.
        key: what the ids of the response and its items are made of; random unless given.
        at: when it was made, in seconds since 1970; now unless given.
    """

    def __init__(self, asked: ResponsesRequest, key: str | None = None, at: int | None = None) -> None:
        self._key = key or secrets.token_hex(16)
        self._response = _beginning(asked, f"resp_{self._key}", int(time.time()) if at is None else at)
        self._items: list[Item] = []
        self._status: list[Status] = []  # of each item
        self._calls: dict[int, int] = {}  # a call's number in the chat, and its place in the output
        self._finish: str | None = None
        self._told = 0
        self._events: list[Event] = []

    @property
    def response(self) -> dict[str, Any]:
        """The response as it is at this moment."""
        output = [item.now(status) for item, status in zip(self._items, self._status, strict=True)]
        return {**self._response, "output": output}

    @property
    def over(self) -> bool:
        """Whether the last event was told."""
        return bool(self._response["status"] != "in_progress")

    def begin(self) -> list[Event]:
        """The events that come before anything is known."""
        self._say({"type": "response.created", "response": self.response})
        self._say({"type": "response.in_progress", "response": self.response})
        return self._said()

    def take(self, chunk: Mapping[str, Any]) -> list[Event]:
        """The events that a chunk brings.

        Args:
            chunk: a chunk of a streamed completion, or an error in its place.
        """
        if self.over:
            return []
        if chunk.get("error"):
            return self.fail(chunk["error"])
        self._response["model"] = chunk.get("model") or self._response["model"]
        if chunk.get("usage"):
            self._response["usage"] = _usage(chunk["usage"])
        if chunk.get("tpo") is not None:
            self._response["tpo"] = chunk["tpo"]
        for choice in chunk.get("choices") or ():
            if not choice.get("index"):
                self._grow(choice.get("delta") or {}, (choice.get("logprobs") or {}).get("content") or [])
                self._finish = choice.get("finish_reason") or self._finish
        return self._said()

    def end(self) -> list[Event]:
        """The events that come after the last chunk."""
        if self.over:
            return []
        if self._finish is None:
            return self.fail({"message": "The answer broke off before its end."})
        if not self._items:
            self._last(Said, "msg")  # an empty answer is an answer
        cut = _CUT.get(self._finish)
        status: Status = "incomplete" if cut else "completed"
        self._close(status)
        self._response["status"] = status
        self._response["incomplete_details"] = {"reason": cut} if cut else None
        self._response["completed_at"] = None if cut else int(time.time())
        self._say({"type": f"response.{status}", "response": self.response})
        return self._said()

    def fail(self, error: Any) -> list[Event]:
        """The events that say that there will be no answer, or no more of it.

        Args:
            error: what failed, in the shape of OpenAI's errors.
        """
        told = error if isinstance(error, Mapping) else {"message": str(error)}
        code = "rate_limit_exceeded" if told.get("code") in (429, "rate_limit_exceeded") else "server_error"
        message = str(told.get("message") or "The answer failed.")
        self._status = ["incomplete" if status == "in_progress" else status for status in self._status]
        self._response["status"] = "failed"
        self._response["error"] = {"code": code, "message": message}
        self._say({"type": "error", "code": code, "message": message, "param": None})
        self._say({"type": "response.failed", "response": self.response})
        return self._said()

    def _grow(self, delta: Mapping[str, Any], logprobs: list[Any]) -> None:
        if thought := delta.get("reasoning_content") or delta.get("reasoning"):
            reasoning, place = self._last(Reasoning, "rs")
            self._at(place, reasoning.grow(thought))
        if (text := delta.get("content")) or logprobs:
            said, place = self._last(Said, "msg")
            self._at(place, said.grow("output_text", text or "", logprobs))
        if refusal := delta.get("refusal"):
            said, place = self._last(Said, "msg")
            self._at(place, said.grow("refusal", refusal, []))
        for position, piece in enumerate(delta.get("tool_calls") or ()):
            self._call(piece.get("index", position), piece)

    def _last(self, kind: type[ItemT], prefix: str) -> tuple[ItemT, int]:
        """The last item if it is of this kind and still grows, else a new one."""
        item = self._items[-1] if self._items else None
        if isinstance(item, kind) and self._status[-1] == "in_progress":
            return item, len(self._items) - 1
        self._close("completed")
        new = kind(f"{prefix}_{self._key}{len(self._items)}")
        return new, self._add(new)

    def _call(self, number: int, piece: Mapping[str, Any]) -> None:
        function = piece.get("function") or {}
        if number not in self._calls:
            self._close("completed")
            place = len(self._items)
            call_id = piece.get("id") or f"call_{self._key}{place}"
            self._calls[number] = self._add(Call(f"fc_{self._key}{place}", call_id, function.get("name") or ""))
        call = self._items[self._calls[number]]
        if isinstance(call, Call) and (arguments := function.get("arguments")):
            self._at(self._calls[number], call.grow(arguments))

    def _add(self, item: Item) -> int:
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
            self._say({**event, "output_index": place})

    def _say(self, event: Event) -> None:
        self._events.append({**event, "sequence_number": self._told})
        self._told += 1

    def _said(self) -> list[Event]:
        events, self._events = self._events, []
        return events


def told(asked: ResponsesRequest, completion: Mapping[str, Any], key: str | None = None) -> dict[str, Any]:
    """The response to a request, made of a completion that came in one piece.

    Args:
        asked: the request.
        completion: the chat completion.
        key: what ids are made of; random unless given.
    """
    telling = Telling(asked, key, completion.get("created"))
    choices = completion.get("choices") or ()
    # A whole message says what a stream's one and only delta would.
    telling.take({**completion, "choices": [{**choice, "delta": choice.get("message")} for choice in choices]})
    telling.end()
    return telling.response


def _beginning(asked: ResponsesRequest, id: str, at: int) -> dict[str, Any]:
    text, reasoning = asked.text, asked.reasoning
    return {
        "id": id,
        "object": "response",
        "created_at": at,
        "completed_at": None,
        "status": "in_progress",
        "background": False,
        "error": None,
        "incomplete_details": None,
        "instructions": asked.instructions,
        "max_output_tokens": asked.max_output_tokens,
        "max_tool_calls": asked.max_tool_calls,
        "model": asked.model,
        "output": [],
        "parallel_tool_calls": asked.parallel_tool_calls is not False,
        "previous_response_id": None,
        "prompt_cache_key": asked.prompt_cache_key,
        "reasoning": {"effort": reasoning and reasoning.effort, "summary": reasoning and reasoning.summary},
        "safety_identifier": asked.safety_identifier,
        "service_tier": asked.service_tier or "default",
        "store": False,
        "temperature": asked.temperature,
        "text": {"format": (text and text.format) or {"type": "text"}, "verbosity": text and text.verbosity},
        "tool_choice": "auto" if asked.tool_choice is None else asked.tool_choice,
        "tools": asked.tools or [],
        "top_logprobs": asked.top_logprobs or 0,
        "top_p": asked.top_p,
        "truncation": "disabled",
        "usage": None,
        "user": asked.user,
        "metadata": asked.metadata or {},
    }


# What a chat completion and a response call the same counts.
_COUNTS = {"prompt": "input", "completion": "output"}


def _usage(usage: Mapping[str, Any]) -> dict[str, Any]:
    counts: dict[str, Any] = {}
    for theirs, ours in _COUNTS.items():
        counts[f"{ours}_tokens"] = usage.get(f"{theirs}_tokens") or 0
        counts[f"{ours}_tokens_details"] = usage.get(f"{theirs}_tokens_details") or {}
    counts["input_tokens_details"] = {"cached_tokens": 0, "cache_write_tokens": 0, **counts["input_tokens_details"]}
    counts["output_tokens_details"] = {"reasoning_tokens": 0, **counts["output_tokens_details"]}
    total = counts["input_tokens"] + counts["output_tokens"]
    counts["total_tokens"] = usage.get("total_tokens") or total
    # What tpo tells beside the counts is told here too.
    return {**counts, **{key: value for key, value in usage.items() if key == "tpo"}}
