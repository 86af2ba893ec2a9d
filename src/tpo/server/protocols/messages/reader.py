"""Reads a request in Anthropic's protocol."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

import msgspec
from msgspec import Meta

from tpo.server.protocols.messages.blocks import messages_of
from tpo.server.protocols.messages.renderer import MessagesRenderer, error_body
from tpo.server.protocols.protocol import ParsedRequest, ProtocolSpec
from tpo.server.protocols.reading import fitting
from tpo.server.protocols.refusal import refused
from tpo.server.protocols.request import Count, GenerationRequest, Headers, alignment_of


class MessagesRequest(msgspec.Struct, frozen=True, kw_only=True):
    """The fields of a request that have a meaning here; others are ignored."""

    model: str
    messages: Annotated[list[dict[str, Any]], Meta(min_length=1)]
    max_tokens: Count | None = None
    system: str | list[dict[str, Any]] | None = None
    stream: bool | None = None
    temperature: Annotated[float, Meta(ge=0, le=100)] | None = None
    top_p: Annotated[float, Meta(gt=0, le=1)] | None = None
    top_k: int | None = None
    stop_sequences: list[str] | None = None
    tools: list[dict[str, Any]] | None = None
    tool_choice: dict[str, Any] | None = None
    thinking: dict[str, Any] | None = None
    metadata: dict[str, Any] | None = None
    output_config: dict[str, Any] | None = None
    output_format: dict[str, Any] | None = None


def read_messages(body: Mapping[str, Any], headers: Headers) -> ParsedRequest:
    """Read and check a request.

    Args:
        body: the JSON object that was sent.
        headers: the request's headers.

    Raises:
        BadRequest: a field does not fit, or asks for what is not supported.
    """
    if body.get("max_tokens") is None:
        raise refused("max_tokens", "is missing")
    return _read(body, headers)


def read_counted(body: Mapping[str, Any], headers: Headers) -> ParsedRequest:
    """Read a request for a count of tokens; as `read_messages`, and `max_tokens` may be left out."""
    return _read(body, headers)


MESSAGES = ProtocolSpec(read_messages, error_body=error_body)
COUNTED = ProtocolSpec(read_counted, error_body=error_body)


def _read(body: Mapping[str, Any], headers: Headers) -> ParsedRequest:
    given = {key: value for key, value in body.items() if value is not None and key != "tpo"}
    request = fitting(given, MessagesRequest, "")
    alignment = alignment_of(body, headers)
    # A client reads thinking blocks only where it has turned thinking on.
    thinking = (request.thinking or {}).get("type") in ("enabled", "adaptive")
    query = GenerationRequest(
        model=request.model,
        messages=messages_of(request.messages, request.system),
        temperature=request.temperature,
        top_p=request.top_p,
        max_tokens=request.max_tokens,
        tools=[_tool(tool, f"tools[{position}]") for position, tool in enumerate(request.tools or ())],
        tool_choice=_tool_choice(request.tool_choice),
        response_format=_response_format(request),
        extra=_extra(request),
        alignment=alignment,
        narration=alignment.wants("narration", thinking),
        thought=alignment.wants("thought", thinking),
    )
    return ParsedRequest([query], MessagesRenderer(request.model), bool(request.stream))


def _tool(tool: Mapping[str, Any], where: str) -> dict[str, Any]:
    kind = tool.get("type", "custom")
    if kind not in ("custom", None):
        raise refused(where, f"is of type {kind!r}, which Anthropic defines or runs: only custom tools are known")
    if not isinstance(tool.get("name"), str):
        raise refused(where, "has no name")
    function = {"name": tool["name"], "parameters": tool.get("input_schema") or {"type": "object"}}
    function |= {key: tool[key] for key in ("description", "strict") if tool.get(key) is not None}
    return {"type": "function", "function": function}


def _tool_choice(choice: Mapping[str, Any] | None) -> Any:
    kind = None if choice is None else choice.get("type")
    if choice is None or kind == "auto":
        return None if choice is None else "auto"
    if kind == "tool" and isinstance(choice.get("name"), str):
        return {"type": "function", "function": {"name": choice["name"]}}
    if kind in ("any", "none"):
        return {"any": "required", "none": "none"}[str(kind)]
    raise refused("tool_choice", f"is of type {kind!r}: auto, any, none and tool with a name are known")


def _response_format(request: MessagesRequest) -> dict[str, Any] | None:
    form = request.output_format or (request.output_config or {}).get("format")
    if form is None:
        return None
    if not isinstance(form, Mapping) or form.get("type") != "json_schema":
        raise refused("output_config.format", "is not of type json_schema")
    return {"type": "json_schema", "json_schema": {"name": "answer", "schema": form.get("schema"), "strict": True}}


def _extra(request: MessagesRequest) -> dict[str, Any]:
    extra: dict[str, Any] = {}
    if request.top_k is not None:
        extra["top_k"] = request.top_k
    if request.stop_sequences:
        extra["stop"] = request.stop_sequences
    if (request.tool_choice or {}).get("disable_parallel_tool_use"):
        extra["parallel_tool_calls"] = False
    if user := (request.metadata or {}).get("user_id"):
        extra["user"] = user
    return extra
