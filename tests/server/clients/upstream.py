"""A policy that does what a good model would for any client's request: it calls tools, keeps schemas, and answers."""

from __future__ import annotations

import itertools
import json
from typing import Any

from models.server import Received, delta, models, response, stream

MODEL = "small"
_numbers = itertools.count(1)


def respond(request: Received) -> bytes:
    """Answer a request for models or for a chat completion."""
    if request.path.endswith("/models"):
        return models(MODEL)
    if not request.path.endswith("/chat/completions"):
        error = {"message": "There is no such path.", "type": "not_found_error", "param": None, "code": None}
        return response(json.dumps({"error": error}), 404)
    body = request.json
    message = _message(body)
    n = int(body.get("n") or 1)  # JSON has 2.0 for 2
    usage = {"prompt_tokens": 7, "completion_tokens": 5, "total_tokens": 12}
    finish = "tool_calls" if "tool_calls" in message else "stop"
    if body.get("stream"):
        chunks = [_with_index(message), {}]
        told = [delta(None, index, **chunk) for chunk in chunks[:1] for index in range(n)]
        ends = [delta(None, index, finish) for index in range(n)]
        return stream(*told, *ends, {"choices": [], "usage": usage})
    choices = [{"index": index, "message": message, "finish_reason": finish} for index in range(n)]
    return response(
        json.dumps(
            {
                "id": "chatcmpl-up",
                "object": "chat.completion",
                "created": 1,
                "model": MODEL,
                "choices": choices,
                "usage": usage,
            }
        )
    )


def _message(body: dict[str, Any]) -> dict[str, Any]:
    last = body["messages"][-1]
    if body.get("tools") and last.get("role") != "tool" and body.get("tool_choice") != "none":
        function = body["tools"][0].get("function") or {}  # a plain model's tools come here as they were sent
        arguments = json.dumps(_instance(function.get("parameters") or {}))
        call = {"name": function.get("name", "nameless"), "arguments": arguments}
        return {
            "role": "assistant",
            "content": None,
            "tool_calls": [{"id": f"call_{next(_numbers)}", "type": "function", "function": call}],
        }
    form = body.get("response_format") or {}
    if form.get("type") == "json_schema":
        return {"role": "assistant", "content": json.dumps(_instance(form["json_schema"]["schema"]))}
    if form.get("type") == "json_object":
        return {"role": "assistant", "content": '{"city": "Rome"}'}
    return {"role": "assistant", "content": f"You said: {_text(last)}"}


def _with_index(message: dict[str, Any]) -> dict[str, Any]:
    if "tool_calls" not in message:
        return message
    return {**message, "tool_calls": [{"index": n, **call} for n, call in enumerate(message["tool_calls"])]}


def _text(message: dict[str, Any]) -> str:
    content = message.get("content") or ""
    return content if isinstance(content, str) else "".join(part.get("text", "") for part in content)


def _instance(schema: dict[str, Any]) -> Any:
    """A value that keeps a simple schema."""
    kind = schema.get("type")
    if kind == "object":
        return {name: _instance(inner) for name, inner in schema.get("properties", {}).items()}
    return {"string": "Rome", "integer": 3, "number": 0.5, "boolean": True, "array": []}.get(str(kind))
