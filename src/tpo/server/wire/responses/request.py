"""A request for a response, as the body of a chat completion."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from tpo.server.wire.reading import fitting
from tpo.server.wire.refusal import refused
from tpo.server.wire.responses.items import messages_of


class TextOptions(msgspec.Struct):
    """How the text should look: `format` is text, json_object or json_schema."""

    format: dict[str, Any] | None = None
    verbosity: str | None = None


class ReasoningOptions(msgspec.Struct):
    """How much a reasoning model should think."""

    effort: str | None = None
    summary: str | None = None


class ResponsesRequest(msgspec.Struct, kw_only=True):
    """The fields of a request that have a meaning here; others reach the policy as they are."""

    model: str
    input: str | Annotated[list[Any], Meta(min_length=1)]
    instructions: str | None = None
    max_output_tokens: Annotated[int, Meta(ge=1)] | None = None
    temperature: float | None = None
    top_p: float | None = None
    tools: list[dict[str, Any]] | None = None
    tool_choice: str | dict[str, Any] | None = None
    parallel_tool_calls: bool | None = None
    max_tool_calls: int | None = None
    text: TextOptions | None = None
    reasoning: ReasoningOptions | None = None
    include: list[str] | None = None
    top_logprobs: Annotated[int, Meta(ge=0, le=20)] | None = None
    stream: bool | None = None
    stream_options: dict[str, Any] | None = None
    metadata: dict[str, Any] | None = None
    truncation: Literal["auto", "disabled"] | None = None
    store: bool | None = None
    background: bool | None = None
    user: str | None = None
    safety_identifier: str | None = None
    prompt_cache_key: str | None = None
    service_tier: str | None = None


# Fields that a chat completion has under the same name.
_SAME = [
    "temperature",
    "top_p",
    "parallel_tool_calls",
    "top_logprobs",
    "user",
    "safety_identifier",
    "prompt_cache_key",
    "service_tier",
]

# What belongs into another request, or needs what is not here.
_REFUSED = {
    "previous_response_id": "refers to a stored response, and nothing is stored here: send all of it as input",
    "conversation": "refers to a stored conversation, and nothing is stored here: send all of it as input",
    "prompt": "refers to a stored prompt, and nothing is stored here: send instructions and input",
    "messages": "is a field of chat completions: call it input, or ask /v1/chat/completions",
    "max_tokens": "is a field of chat completions: call it max_output_tokens",
    "max_completion_tokens": "is a field of chat completions: call it max_output_tokens",
    "response_format": "is a field of chat completions: give text.format",
    "logprobs": 'is a field of chat completions: give include=["message.output_text.logprobs"]',
    "n": "is a field of chat completions: a response has one answer",
}


def responses_request(body: dict[str, Any]) -> ResponsesRequest:
    """Read and check a request.

    Args:
        body: the JSON object that was sent.

    Raises:
        BadRequest: a field does not fit, or asks for what is not here.
    """
    for field, why in _REFUSED.items():
        if body.get(field) is not None:
            raise refused(field, why)
    asked = fitting(body, ResponsesRequest, "")
    if asked.store:
        raise refused("store", "is true, and nothing is stored here: leave it out")
    if asked.background:
        raise refused("background", "is true, and nothing is stored here to be fetched later: leave it out")
    if asked.truncation == "auto":
        raise refused("truncation", "is auto, and nothing is dropped from a conversation here: shorten the input")
    return asked


def chat_body(asked: ResponsesRequest, body: dict[str, Any]) -> dict[str, Any]:
    """The body of the chat completion that answers a request.

    Args:
        asked: the request.
        body: the JSON object that it was read from; fields that are unknown here are kept.

    Raises:
        BadRequest: items, tools or the format are of a kind that is not served here.
    """
    known = {*ResponsesRequest.__struct_fields__, *_REFUSED}
    chat = {key: value for key, value in body.items() if key not in known and value is not None}
    chat |= {"model": asked.model, "messages": messages_of(asked.input, asked.instructions)}
    chat |= {key: value for key in _SAME if (value := getattr(asked, key)) is not None}
    if asked.max_output_tokens is not None:
        chat["max_completion_tokens"] = asked.max_output_tokens
    if asked.tools:
        chat["tools"] = [_tool(tool, f"tools[{position}]") for position, tool in enumerate(asked.tools)]
    if asked.tool_choice is not None:
        chat["tool_choice"] = _tool_choice(asked.tool_choice)
    if asked.reasoning is not None and asked.reasoning.effort is not None:
        chat["reasoning_effort"] = asked.reasoning.effort
    if asked.text is not None:
        chat |= _text(asked.text)
    if "message.output_text.logprobs" in (asked.include or ()) or asked.top_logprobs:
        chat["logprobs"] = True
    if asked.stream:
        # The last event has the usage, whether it was asked for or not.
        chat |= {"stream": True, "stream_options": {"include_usage": True}}
    return chat


def _tool(tool: dict[str, Any], where: str) -> dict[str, Any]:
    if tool.get("type") != "function":
        raise refused(where, f"is of type {tool.get('type')!r}, which OpenAI runs: only functions are known")
    if not isinstance(tool.get("name"), str):
        raise refused(where, "has no name")
    return {"type": "function", "function": _named(tool, "name", "description", "parameters", "strict")}


def _tool_choice(choice: str | dict[str, Any]) -> Any:
    if isinstance(choice, str):
        return choice
    if choice.get("type") == "function":
        return {"type": "function", "function": _named(choice, "name")}
    if choice.get("type") == "allowed_tools":
        tools = choice.get("tools")
        if not isinstance(tools, list) or not all(isinstance(tool, dict) for tool in tools):
            raise refused("tool_choice.tools", "is no list of tools")
        allowed = [{"type": "function", "function": _named(tool, "name")} for tool in tools]
        return {"type": "allowed_tools", "allowed_tools": {"mode": choice.get("mode", "auto"), "tools": allowed}}
    raise refused("tool_choice", f"is of type {choice.get('type')!r}: function and allowed_tools are known")


def _text(text: TextOptions) -> dict[str, Any]:
    fields: dict[str, Any] = {} if text.verbosity is None else {"verbosity": text.verbosity}
    form = text.format or {"type": "text"}
    kind = form.get("type")
    if kind == "json_schema":
        schema = _named(form, "name", "description", "schema", "strict")
        return {**fields, "response_format": {"type": kind, "json_schema": schema}}
    if kind == "json_object":
        return {**fields, "response_format": {"type": kind}}
    if kind != "text":
        raise refused("text.format", f"is of type {kind!r}: text, json_object and json_schema are known")
    return fields


def _named(given: dict[str, Any], *keys: str) -> dict[str, Any]:
    return {key: given[key] for key in keys if given.get(key) is not None}
