"""The server described for programs: an OpenAPI 3.1 document (https://spec.openapis.org/oas/v3.1.0), at /openapi.json.

Requests are described by the very types that read them, so the document cannot promise what is not read.
"""

from __future__ import annotations

from typing import Any, TypeAlias

import msgspec

from tpo.server.protocols.chat import ChatRequest
from tpo.server.protocols.completions import CompletionsRequest
from tpo.server.protocols.messages.reader import MessagesRequest
from tpo.server.protocols.responses.items import FunctionCall, FunctionCallOutput, InputMessage
from tpo.server.protocols.responses.request import ResponsesRequest

Schema: TypeAlias = dict[str, Any]

_REFERENCE = "#/components/schemas/{name}"
_ITEMS = (InputMessage, FunctionCall, FunctionCallOutput)

_WHAT = """\
Chat completions, responses and completions in OpenAI's protocols, and messages in Anthropic's. A model under its own
name answers plainly; with a preset behind a colon (`MODEL:tpo`) its answers are aligned with the server's reward.
"""


def document(version: str, *, stored: bool = False) -> Schema:
    """Describe the server.

    Args:
        version: tpo's version.
        stored: responses are stored.

    Returns:
        The document, as plain data.
    """
    return {
        "openapi": "3.1.0",
        "info": {"title": "tpo", "version": version, "description": _WHAT, "license": {"name": "Apache-2.0"}},
        "security": [{}, {"key": []}],
        "paths": {
            "/v1/chat/completions": _operation("Answer a chat", ChatRequest, "ChatCompletion"),
            "/v1/responses": _operation("Answer with a response", ResponsesRequest, "Response"),
            **(_stored() if stored else {}),
            "/v1/messages": _operation("Answer in Anthropic's protocol", MessagesRequest, "Message"),
            "/v1/messages/count_tokens": _operation("Count a conversation's tokens", MessagesRequest, "TokenCount"),
            "/v1/completions": _operation("Continue a prompt", CompletionsRequest, "Completion"),
            "/v1/models": _got("List models and presets", "application/json", _ref("ModelList")),
            "/health": _got("Whether the process is alive", "application/json", {"type": "object"}, open=True),
            "/ready": _got("Whether it takes requests", "application/json", {"type": "object"}, open=True),
            "/metrics": _got("Prometheus metrics", "text/plain", {"type": "string"}),
            "/openapi.json": _got("This document", "application/json", {"type": "object"}, open=True),
        },
        "components": {
            "securitySchemes": {"key": {"type": "http", "scheme": "bearer"}},
            "schemas": _schemas(),
        },
    }


def _schemas() -> dict[str, Schema]:
    types = (ChatRequest, MessagesRequest, ResponsesRequest, CompletionsRequest, *_ITEMS)
    _, schemas = msgspec.json.schema_components(types, ref_template=_REFERENCE)
    items = [_ref(item.__name__) for item in _ITEMS]
    # A message may leave its type out, so that the items have no common discriminator; reasoning items are skipped.
    reasoning = {"type": "object", "properties": {"type": {"const": "reasoning"}}, "required": ["type"]}
    properties = schemas[ResponsesRequest.__name__]["properties"]
    several = {"type": "array", "minItems": 1, "items": {"anyOf": [*items, reasoning]}}
    properties["input"] = {"anyOf": [{"type": "string"}, several]}
    return {**schemas, **_ANSWERS}


def _operation(what: str, body: type, answer: str) -> Schema:
    """A route that answers a body."""
    content = {"application/json": {"schema": _ref(answer)}, "text/event-stream": _STREAM}
    request = {"required": True, "content": {"application/json": {"schema": _ref(body.__name__)}}}
    done = {"description": "The answer, or its stream where the request has `stream`.", "content": content}
    return {"post": {"summary": what, "requestBody": request, "responses": {"200": done, "default": _FAILED}}}


def _got(what: str, kind: str, schema: Schema, open: bool = False) -> Schema:
    """A route that is only read."""
    done = {"description": what, "content": {kind: {"schema": schema}}}
    failed = {"description": "Not now, or not with this key."} if open else _FAILED
    return {
        "get": {"summary": what, "responses": {"200": done, "default": failed}} | ({"security": []} if open else {})
    }


def _stored() -> Schema:
    """The routes of stored responses."""
    path = "/v1/responses/{id}"
    id = {"name": "id", "in": "path", "required": True, "schema": {"type": "string"}}
    response = _got("Fetch a stored response, or its stream", "application/json", _ref("Response"))["get"]
    response["responses"]["200"]["content"]["text/event-stream"] = _STREAM
    response["parameters"] = [
        _parameter("stream", {"type": "boolean"}),
        _parameter("starting_after", _COUNT),
    ]
    gone = _got("Delete a stored response", "application/json", _ref("DeletedResponse"))["get"]
    stopped = _got("End a response of the background with the best so far", "application/json", _ref("Response"))["get"]
    items = _got("List what a stored response was made from", "application/json", _ref("InputItems"))["get"]
    items["parameters"] = [
        _parameter("limit", {"type": "integer", "minimum": 1, "maximum": 100}),
        _parameter("order", {"enum": ["asc", "desc"]}),
        _parameter("after", _TEXT),
    ]
    return {
        path: {"parameters": [id], "get": response, "delete": gone},
        f"{path}/cancel": {"parameters": [id], "post": stopped},
        f"{path}/input_items": {"parameters": [id], "get": items},
    }


def _parameter(name: str, schema: Schema) -> Schema:
    return {"name": name, "in": "query", "schema": schema}


def _ref(name: str) -> Schema:
    return {"$ref": _REFERENCE.format(name=name)}


def _object(required: str, **properties: Schema) -> Schema:
    return {"type": "object", "required": required.split(), "properties": properties}


def _list(of: Schema) -> Schema:
    return {"type": "array", "items": of}


_TEXT: Schema = {"type": "string"}
# Of each event: OpenAPI 3.1 has no words for a stream of them.
_STREAM: Schema = {"schema": _object("data", data=_TEXT, event=_TEXT)}
_COUNT: Schema = {"type": "integer", "minimum": 0}
_MAYBE_TEXT: Schema = {"type": ["string", "null"]}
_USAGE = _object(
    "prompt_tokens completion_tokens total_tokens",
    prompt_tokens=_COUNT,
    completion_tokens=_COUNT,
    total_tokens=_COUNT,
)
_MESSAGE = _object("role content", role={"const": "assistant"}, content=_MAYBE_TEXT)

_FAILED = {
    "description": "An error: of the request (4xx), of what answers it (502, 503, 504), or of tpo (500).",
    "content": {"application/json": {"schema": _ref("Error")}},
}

# What is answered. Further fields may be there: those of the policy's server, and `tpo` with what the search came to.
_ANSWERS: dict[str, Schema] = {
    "Error": _object(
        "error",
        error=_object(
            "message type",
            message=_TEXT,
            type=_TEXT,
            param=_MAYBE_TEXT,
            code={"type": ["string", "integer", "null"]},
        ),
    ),
    "ChatCompletion": _object(
        "id object created model choices usage",
        object={"const": "chat.completion"},
        model=_TEXT,
        choices=_list(_object("index message finish_reason", index=_COUNT, message=_MESSAGE, finish_reason=_TEXT)),
        usage=_USAGE,
        tpo={"type": "object"},
    ),
    "Completion": _object(
        "id object created model choices usage",
        object={"const": "text_completion"},
        model=_TEXT,
        choices=_list(_object("index text finish_reason", index=_COUNT, text=_TEXT, finish_reason=_TEXT)),
        usage=_USAGE,
    ),
    "Response": _object(
        "id object created_at status model output usage",
        object={"const": "response"},
        status={"enum": ["queued", "in_progress", "completed", "incomplete", "failed", "cancelled"]},
        model=_TEXT,
        output=_list(_object("id type", type={"enum": ["message", "function_call", "reasoning"]})),
        usage={
            "anyOf": [
                _object(
                    "input_tokens output_tokens total_tokens",
                    input_tokens=_COUNT,
                    output_tokens=_COUNT,
                    total_tokens=_COUNT,
                ),
                {"type": "null"},
            ]
        },
        tpo={"type": "object"},
    ),
    "DeletedResponse": _object("id object deleted", id=_TEXT, object={"const": "response"}, deleted={"const": True}),
    "InputItems": _object(
        "object data has_more", object={"const": "list"}, data=_list({"type": "object"}), has_more={"type": "boolean"}
    ),
    "Message": _object(
        "id type role model content stop_reason usage",
        type={"const": "message"},
        role={"const": "assistant"},
        model=_TEXT,
        content=_list(_object("type", type={"enum": ["text", "thinking", "tool_use"]})),
        usage=_object("input_tokens output_tokens", input_tokens=_COUNT, output_tokens=_COUNT),
        tpo={"type": "object"},
    ),
    "TokenCount": _object("input_tokens", input_tokens=_COUNT),
    "ModelList": _object("object data", object={"const": "list"}, data=_list(_object("id object", id=_TEXT))),
}
