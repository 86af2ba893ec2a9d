"""Reads a request in Anthropic's protocol: its content blocks become the messages of a chat."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, TypeAlias

import msgspec
from msgspec import Meta

from tpo.messages import Conversation, Message
from tpo.server.errors import refused
from tpo.server.protocols.messages.renderer import MessagesRenderer, error_body
from tpo.server.protocols.protocol import ParsedRequest, ProtocolSpec
from tpo.server.protocols.reading import fitting
from tpo.server.protocols.request import Count, GenerationRequest, Headers, alignment_of, sets_search


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
        BadRequest: a field does not fit, or is not supported.
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
        sets_search=sets_search(body),
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


Block: TypeAlias = Mapping[str, Any]

# Reasoning of earlier turns is for people and not part of the conversation.
_LEFT_OUT = frozenset({"thinking", "redacted_thinking"})


def messages_of(turns: Sequence[Any], system: str | Sequence[Any] | None) -> Conversation:
    """The chat that a request continues.

    Args:
        turns: the request's `messages`.
        system: the request's `system`, which goes first.

    Raises:
        BadRequest: a block is of an unknown kind, or lacks a field.
    """
    chat: Conversation = []
    if system:
        text = system if isinstance(system, str) else "\n\n".join(_texts(system, "system"))
        chat.append({"role": "system", "content": text})
    for position, turn in enumerate(turns):
        where = f"messages[{position}]"
        role = turn.get("role") if isinstance(turn, Mapping) else None
        if role not in ("user", "assistant", "system"):
            raise refused(f"{where}.role", f"is {role!r}: user and assistant are known")
        content = turn.get("content")
        blocks = [{"type": "text", "text": content}] if isinstance(content, str) else content
        if not isinstance(blocks, list) or not all(isinstance(block, Mapping) for block in blocks):
            raise refused(f"{where}.content", "is neither a string nor a list of blocks")
        if role == "assistant":
            chat.append(_assistant(blocks, f"{where}.content"))
        else:
            chat += _user(blocks, f"{where}.content", role)
    if chat and chat[-1]["role"] == "assistant":
        raise refused("messages", "ends with the assistant's turn, which cannot be continued: end with the user's")
    return chat


def _user(blocks: Sequence[Block], where: str, role: str) -> Conversation:
    # Results of tools come first: they answer the turn before.
    results: Conversation = []
    parts: list[dict[str, Any]] = []
    for position, block in enumerate(blocks):
        at = f"{where}[{position}]"
        if block.get("type") == "tool_result":
            results.append(_tool_result(block, at))
        else:
            parts.append(_part(block, at))
    # Plain text is what every chat template takes; a list of parts is not.
    text = all(part["type"] == "text" for part in parts)
    content: Any = "\n\n".join(part["text"] for part in parts) if text else parts
    return [*results, {"role": role, "content": content}] if parts or not results else results


def _assistant(blocks: Sequence[Block], where: str) -> Message:
    texts, calls = [], []
    for position, block in enumerate(blocks):
        at = f"{where}[{position}]"
        kind = block.get("type")
        if kind == "text":
            texts.append(_string(block, "text", at))
        elif kind == "tool_use":
            arguments = msgspec.json.encode(block.get("input") or {}).decode()
            function = {"name": _string(block, "name", at), "arguments": arguments}
            calls.append({"id": _string(block, "id", at), "type": "function", "function": function})
        elif kind not in _LEFT_OUT:
            raise refused(at, f"is of type {kind!r}: text, thinking and tool_use are known in the assistant's turn")
    message: Message = {"role": "assistant", "content": "\n\n".join(texts) if texts or not calls else None}
    return message | ({"tool_calls": calls} if calls else {})


def _tool_result(block: Block, where: str) -> Message:
    content = block.get("content")
    if not isinstance(content, str | list | None):
        raise refused(f"{where}.content", "is neither a string nor a list of blocks")
    parts = [] if content is None else [{"type": "text", "text": content}] if isinstance(content, str) else content
    read = [_part(part, f"{where}.content[{place}]") for place, part in enumerate(parts)]
    plain = all(part["type"] == "text" for part in read)
    text: Any = "\n\n".join(part["text"] for part in read) if plain else read
    if block.get("is_error") and plain:
        text = f"Error: {text}"
    return {"role": "tool", "tool_call_id": _string(block, "tool_use_id", where), "content": text}


def _part(block: Any, where: str) -> dict[str, Any]:
    kind = block.get("type") if isinstance(block, Mapping) else None
    if kind == "text":
        return {"type": "text", "text": _string(block, "text", where)}
    if kind == "image":
        return {"type": "image_url", "image_url": {"url": _source(block, where)}}
    if kind == "document":
        source = block.get("source")
        if isinstance(source, Mapping) and source.get("type") == "text":
            return {"type": "text", "text": _string(source, "data", f"{where}.source")}
        name = {"filename": str(block["title"])} if block.get("title") else {}
        return {"type": "file", "file": {"file_data": _source(block, where), **name}}
    raise refused(where, f"is of type {kind!r}: text, image, document and tool_result are known in the user's turn")


def _source(block: Block, where: str) -> str:
    source = block.get("source")
    kind = source.get("type") if isinstance(source, Mapping) else None
    if not isinstance(source, Mapping) or kind not in ("base64", "url"):
        raise refused(f"{where}.source", f"is of type {kind!r}: base64 and url are known")
    if kind == "url":
        return _string(source, "url", f"{where}.source")
    return (
        f"data:{_string(source, 'media_type', f'{where}.source')};base64,{_string(source, 'data', f'{where}.source')}"
    )


def _texts(blocks: Sequence[Any], where: str) -> list[str]:
    return [_string(block, "text", f"{where}[{place}]") for place, block in enumerate(blocks)]


def _string(block: Any, key: str, where: str) -> str:
    value = block.get(key) if isinstance(block, Mapping) else None
    if not isinstance(value, str):
        raise refused(where, f"has no string in {key}")
    return value
