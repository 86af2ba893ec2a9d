"""Reads a request into its conversation."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tpo.server.errors import refused
from tpo.server.protocols.protocol import ParsedRequest, ProtocolSpec
from tpo.server.protocols.reading import fitting
from tpo.server.protocols.request import GenerationRequest, Headers, alignment_of, extra_fields, sets_search
from tpo.server.protocols.responses.items import messages_of
from tpo.server.protocols.responses.renderer import ResponsesRenderer
from tpo.server.protocols.responses.request import ResponsesRequest, TextOptions

# Fields that a chat completion has under the same name.
_SAME = [
    "parallel_tool_calls",
    "top_logprobs",
    "user",
    "safety_identifier",
    "prompt_cache_key",
    "service_tier",
]

# What belongs into another request, or needs what is not here.
_REFUSED = {
    "conversation": "refers to a stored conversation, and none is stored here: send all of it as input",
    "prompt": "refers to a stored prompt, and none is stored here: send instructions and input",
    "messages": "is a field of chat completions: call it input, or ask /v1/chat/completions",
    "max_tokens": "is a field of chat completions: call it max_output_tokens",
    "max_completion_tokens": "is a field of chat completions: call it max_output_tokens",
    "response_format": "is a field of chat completions: give text.format",
    "logprobs": 'is a field of chat completions: give include=["message.output_text.logprobs"]',
    "n": "is a field of chat completions: a response has one answer",
}


def read_responses(
    body: Mapping[str, Any], headers: Headers, key: str | None = None, at: int | None = None
) -> ParsedRequest:
    """Read and check a request.

    Args:
        body: the JSON object that was sent, with all of its input: what it continues stands in front of it.
        headers: the request's headers.
        key: what the ids of the response are made of; random unless given.
        at: when the response was created, in seconds since 1970; now unless given.

    Raises:
        BadRequest: a field does not fit, or is not supported.
    """
    request = _read(body)
    alignment = alignment_of(body, headers)
    fields = extra_fields(body, {*ResponsesRequest.__struct_fields__, *_REFUSED, "tpo"})
    fields |= {key: value for key in _SAME if (value := getattr(request, key)) is not None}
    if request.reasoning is not None and request.reasoning.effort is not None:
        fields["reasoning_effort"] = request.reasoning.effort
    if request.text is not None and request.text.verbosity is not None:
        fields["verbosity"] = request.text.verbosity
    if "message.output_text.logprobs" in (request.include or ()) or request.top_logprobs:
        fields["logprobs"] = True
    query = GenerationRequest(
        model=request.model,
        messages=messages_of(request.input, request.instructions),
        temperature=request.temperature,
        top_p=request.top_p,
        max_tokens=request.max_output_tokens,
        tools=[_tool(tool, f"tools[{position}]") for position, tool in enumerate(request.tools or ())],
        tool_choice=None if request.tool_choice is None else _tool_choice(request.tool_choice),
        response_format=_response_format(request.text),
        extra=fields,
        alignment=alignment,
        narration=alignment.wants("narration"),
        thought=alignment.wants("thought"),
        sets_search=sets_search(body),
    )
    return ParsedRequest([query], ResponsesRenderer(request, key, at), bool(request.stream))


def _read_stateless(body: Mapping[str, Any], headers: Headers) -> ParsedRequest:
    refuse_stored(body)
    return read_responses(body, headers)


# Without a store.
RESPONSES = ProtocolSpec(_read_stateless)

# What needs a store.
_STORED = {
    "previous_response_id": "refers to a stored response, and this server stores none: send all of it as input",
    "store": "is true, and this server stores nothing: leave it out",
    "background": "is true, and this server stores nothing that could be fetched later: leave it out",
}


def refuse_stored(body: Mapping[str, Any]) -> None:
    """Check that a request needs no store.

    Raises:
        BadRequest: it does.
    """
    for field, why in _STORED.items():
        if body.get(field):
            raise refused(field, f"{why}, or start it with --store FOLDER")


def _read(body: Mapping[str, Any]) -> ResponsesRequest:
    for field, why in _REFUSED.items():
        if body.get(field) is not None:
            raise refused(field, why)
    request = fitting(body, ResponsesRequest, "")
    if request.truncation == "auto":
        raise refused("truncation", "is auto, and nothing is dropped from a conversation here: shorten the input")
    return request


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
            raise refused("tool_choice.tools", "is not a list of tools")
        allowed = [{"type": "function", "function": _named(tool, "name")} for tool in tools]
        return {"type": "allowed_tools", "allowed_tools": {"mode": choice.get("mode", "auto"), "tools": allowed}}
    raise refused("tool_choice", f"is of type {choice.get('type')!r}: function and allowed_tools are known")


def _response_format(text: TextOptions | None) -> dict[str, Any] | None:
    form = (text and text.format) or {"type": "text"}
    kind = form.get("type")
    if kind == "json_schema":
        return {"type": kind, "json_schema": _named(form, "name", "description", "schema", "strict")}
    if kind == "json_object":
        return {"type": kind}
    if kind != "text":
        raise refused("text.format", f"is of type {kind!r}: text, json_object and json_schema are known")
    return None


def _named(given: Mapping[str, Any], *keys: str) -> dict[str, Any]:
    return {key: given[key] for key in keys if given.get(key) is not None}
