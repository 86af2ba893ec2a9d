"""The input items of a request, as the messages of a chat."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Literal, TypeAlias

import msgspec

from tpo.messages import Conversation, Message
from tpo.server.errors import refused
from tpo.server.protocols.reading import fitting

Part: TypeAlias = dict[str, Any]

# How the ids of reasoning items begin.
REASONING = "rs_"


class InputMessage(msgspec.Struct):
    """A turn of the conversation; `type` may be left out."""

    role: Literal["user", "assistant", "system", "developer"]
    content: str | list[Part]
    type: Literal["message"] = "message"


class FunctionCall(msgspec.Struct):
    """A call that the model made."""

    type: Literal["function_call"]
    call_id: str
    name: str
    arguments: str


class FunctionCallOutput(msgspec.Struct):
    """The result of a call."""

    type: Literal["function_call_output"]
    call_id: str
    output: str | list[Part]


def messages_of(given: str | Sequence[Any], instructions: str | None) -> Conversation:
    """The chat that a response continues.

    Args:
        given: the request's `input`.
        instructions: the request's `instructions`, which go first as a system message.

    Raises:
        BadRequest: an item is of a kind that needs a store or a tool of OpenAI's, or is none.
    """
    chat: Conversation = [] if instructions is None else [{"role": "system", "content": instructions}]
    if isinstance(given, str):
        return [*chat, {"role": "user", "content": given}]
    for position, item in enumerate(given):
        _add(chat, item, f"input[{position}]")
    if not chat:
        raise refused("input", "holds nothing to answer, only reasoning")
    return chat


def _add(chat: Conversation, item: Any, where: str) -> None:
    if not isinstance(item, dict):
        raise refused(where, "is not an object")
    kind = item.get("type", "message")
    if kind == "message":
        message = fitting(item, InputMessage, where)
        chat.append({"role": message.role, "content": _content(message.content, f"{where}.content")})
    elif kind == "function_call":
        _call(chat, fitting(item, FunctionCall, where))
    elif kind == "function_call_output":
        output = fitting(item, FunctionCallOutput, where)
        content = _content(output.output, f"{where}.output")
        chat.append({"role": "tool", "tool_call_id": output.call_id, "content": content})
    elif kind == "item_reference":
        # A reference to reasoning stands for what would be left out anyway; the SDKs of Vercel send such.
        if not str(item.get("id")).startswith(REASONING):
            raise refused(where, "refers to an item by its id, and that item is not stored here: send the item itself")
    # Reasoning (the model's thought, or a search's progress) is for people and not part of the conversation.
    elif kind != "reasoning":
        raise refused(where, f"is of type {kind!r}; known are message, reasoning, function_call and its output")


def _call(chat: Conversation, call: FunctionCall) -> None:
    # A response lists text and calls one by one, where a chat has one message with all calls of a turn.
    if not chat or chat[-1]["role"] != "assistant":
        chat.append({"role": "assistant", "content": None})
    function = {"name": call.name, "arguments": call.arguments}
    calls: list[Message] = chat[-1].setdefault("tool_calls", [])
    calls.append({"id": call.call_id, "type": "function", "function": function})


def _content(given: str | Sequence[Part], where: str) -> str | list[Part]:
    if isinstance(given, str):
        return given
    parts = [_part(part, f"{where}[{position}]") for position, part in enumerate(given)]
    # Plain text is what every chat template takes; a list of parts is not.
    return parts[0]["text"] if len(parts) == 1 and parts[0]["type"] == "text" else parts


def _part(part: Part, where: str) -> Part:
    kind = part.get("type")
    if kind not in _PARTS:
        raise refused(where, f"is of type {kind!r}; {', '.join(_PARTS)} are known")
    return _PARTS[kind](part, where)


def _text(part: Part, where: str) -> Part:
    return {"type": "text", "text": _string(part, "refusal" if part["type"] == "refusal" else "text", where)}


def _image(part: Part, where: str) -> Part:
    image = {"url": _string(part, "image_url", where)}
    if part.get("detail") is not None:
        image["detail"] = _string(part, "detail", where)
    return {"type": "image_url", "image_url": image}


def _file(part: Part, where: str) -> Part:
    file = {"file_data": _string(part, "file_data", where)}
    if part.get("filename") is not None:
        file["filename"] = _string(part, "filename", where)
    return {"type": "file", "file": file}


def _audio(part: Part, where: str) -> Part:
    return {"type": "input_audio", "input_audio": part.get("input_audio")}


_PARTS: dict[Any, Callable[[Part, str], Part]] = {
    "input_text": _text,
    "output_text": _text,
    "refusal": _text,
    "input_image": _image,
    "input_file": _file,
    "input_audio": _audio,
}


def _string(part: Part, key: str, where: str) -> str:
    value = part.get(key)
    if not isinstance(value, str):
        given = [other for other in ("file_id", "file_url") if part.get(other) is not None]
        instead = f"; {given[0]} refers to a store that is not here" if given else ""
        raise refused(where, f"has no text in {key}{instead}")
    return value
