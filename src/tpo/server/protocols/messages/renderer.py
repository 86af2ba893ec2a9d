"""Writes an answer in Anthropic's protocol: the message in one piece, and its events."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from typing import Any

import msgspec

from tpo.server.deltas import Delta, Finished, Narration, Refusal, Text, Thought, ToolCall, deltas_of
from tpo.server.errors import ApiError
from tpo.server.protocols import sse
from tpo.session.response import Completion, TokenUsage

Event = dict[str, Any]

_STOP = {"stop": "end_turn", "length": "max_tokens", "tool_calls": "tool_use", "content_filter": "refusal"}
# Kinds of errors by status (https://docs.anthropic.com/en/api/errors).
_KINDS = {
    400: "invalid_request_error",
    401: "authentication_error",
    403: "permission_error",
    404: "not_found_error",
    413: "request_too_large",
    429: "rate_limit_error",
    503: "overloaded_error",
    504: "timeout_error",
}


class MessagesRenderer:
    """Writes one message.

    Narration and thought are thinking blocks of their own; their signatures mark which is which.

    Args:
        model: the model as the client named it.
        id: the message's id; random unless given.
    """

    def __init__(self, model: str, id: str | None = None) -> None:
        self.id = id or f"msg_{secrets.token_hex(12)}"
        self._model = model
        self._blocks: list[dict[str, Any]] = []
        self._open: str | None = None
        self._arguments = ""
        self._stop = "end_turn"
        self._events: list[Event] = []

    def begin(self) -> bytes:
        """The event at the beginning."""
        self._events.append(
            {"type": "message_start", "message": {**self._message(), "usage": usage_body(TokenUsage())}}
        )
        return self._written()

    def delta(self, place: int, delta: Delta) -> bytes:
        """The events of a delta."""
        self._take(delta)
        return self._written()

    def finish(self, place: int, response: Completion) -> bytes:
        """The events that end the message."""
        self._complete()
        change = {"stop_reason": self._stop, "stop_sequence": None}
        search = {} if response.search is None else {"tpo": response.search}
        self._events.append({"type": "message_delta", "delta": change, "usage": usage_body(response.usage), **search})
        self._events.append({"type": "message_stop"})
        return self._written()

    def end(self) -> bytes:
        """Nothing: the last event was written by `finish`."""
        return b""

    def fail(self, error: ApiError) -> bytes:
        """The event of a failure, which ends the stream."""
        return b"event: error\ndata: %s\n\n" % error_body(error)

    def whole(self, responses: Sequence[Completion]) -> dict[str, Any]:
        """The message in one piece."""
        response = responses[0]
        if response.narration:
            self._take(Narration(response.narration))
        for delta in deltas_of(response):
            self._take(delta)
        self._complete()
        self._events.clear()
        search = {} if response.search is None else {"tpo": response.search}
        return {**self._message(self._stop), "usage": usage_body(response.usage), **search}

    def _message(self, stop: str | None = None) -> dict[str, Any]:
        return {
            "id": self.id,
            "type": "message",
            "role": "assistant",
            "model": self._model,
            "content": list(self._blocks),
            "stop_reason": stop,
            "stop_sequence": None,
        }

    def _take(self, delta: Delta) -> None:
        match delta:
            case Narration(text):
                self._grow("narration", "thinking", text)
            case Thought(0, text):
                self._grow("thought", "thinking", text)
            case Text(0, text) if text:
                self._grow("text", "text", text)
            case Refusal(0, text):
                self._grow("text", "text", text)
            case ToolCall(0):
                self._call(delta)
            case Finished(0, reason):
                self._stop = _STOP.get(reason, "end_turn")
            case _:  # a message has one answer
                pass

    def _grow(self, kind: str, block_type: str, text: str) -> None:
        if self._open != kind:
            self._close()
            signature = {"signature": ""} if block_type == "thinking" else {}
            self._start({"type": block_type, block_type: "", **signature}, kind)
        self._blocks[-1][block_type] += text
        self._add("content_block_delta", delta={"type": f"{block_type}_delta", block_type: text})

    def _call(self, call: ToolCall) -> None:
        self._close()
        id = call.id or f"toolu_{self.id.removeprefix('msg_')}{len(self._blocks)}"
        self._start({"type": "tool_use", "id": id, "name": call.name, "input": {}}, "call")
        self._blocks[-1]["input"] = _object(call.arguments)
        arguments = msgspec.json.encode(self._blocks[-1]["input"]).decode()
        self._add("content_block_delta", delta={"type": "input_json_delta", "partial_json": arguments})
        self._close()

    def _complete(self) -> None:
        self._close()
        if not any(block["type"] != "thinking" for block in self._blocks):
            self._start({"type": "text", "text": ""}, "text")  # an empty answer is an answer
            self._close()

    def _start(self, block: dict[str, Any], kind: str) -> None:
        self._open = kind
        self._blocks.append(block)
        self._add("content_block_start", content_block=dict(block))

    def _close(self) -> None:
        if self._open is None:
            return
        if self._blocks[-1]["type"] == "thinking":
            self._blocks[-1]["signature"] = self._open
            self._add("content_block_delta", delta={"type": "signature_delta", "signature": self._open})
        self._add("content_block_stop")
        self._open = None

    def _add(self, kind: str, **more: Any) -> None:
        self._events.append({"type": kind, "index": len(self._blocks) - 1, **more})

    def _written(self) -> bytes:
        events, self._events = self._events, []
        return sse.named(events)


def usage_body(usage: TokenUsage) -> dict[str, Any]:
    """The tokens of all roles together; those of the answer and of each role apart, under `tpo`."""
    return {
        # Anthropic counts tokens that came from a cache apart from the others.
        "input_tokens": usage.prompt_tokens - usage.cached_tokens,
        "cache_creation_input_tokens": 0,
        "cache_read_input_tokens": usage.cached_tokens,
        "output_tokens": usage.completion_tokens,
        "tpo": usage.details,
    }


def error_body(error: ApiError) -> bytes:
    """An error in Anthropic's shape."""
    kind = _KINDS.get(error.status, "invalid_request_error" if error.status < 500 else "api_error")
    return msgspec.json.encode({"type": "error", "error": {"type": kind, "message": str(error)}})


def _object(arguments: str) -> dict[str, Any]:
    # A model may write arguments that are not JSON, or not an object: the client still gets to see them.
    try:
        value = msgspec.json.decode(arguments or "{}")
    except (msgspec.DecodeError, RecursionError):
        return {"arguments": arguments}
    return value if isinstance(value, dict) else {"arguments": value}
