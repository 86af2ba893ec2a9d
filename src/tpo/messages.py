"""Conversations: the chat messages that every part of tpo passes around.

A message is a chat-completions message (https://platform.openai.com/docs/api-reference/chat), kept as
the plain dictionary that the user sent, so that it reaches the policy unchanged: names, tool calls and
content parts included.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

from tpo.errors import InputError

Message: TypeAlias = dict[str, Any]
Conversation: TypeAlias = list[Message]

_SHOWN_CALL = re.compile(
    r'^<tool_call>\{"name": ("(?:[^"\\\n]|\\.)*"), "arguments": (.*?)\}</tool_call>$', re.DOTALL | re.MULTILINE
)

# Where a data set keeps its queries: the first of these columns that a row has. The first holds chat messages.
QUERY_COLUMNS = ("messages", "conversations", "prompt", "instruction", "question", "query", "problem", "input")

# Who speaks in ShareGPT's files and their descendants.
SPEAKERS = {
    **dict.fromkeys(("human", "user"), "user"),
    **dict.fromkeys(("gpt", "chatgpt", "assistant", "model", "bing", "bard", "function_call"), "assistant"),
    **dict.fromkeys(("tool", "observation", "function_response"), "tool"),
    "system": "system",
}

ROLES = ("system", "developer", "user", "assistant", "tool", "function")


def conversation(query: str | Sequence[Mapping[str, Any]]) -> Conversation:
    """Check a query and return it as a conversation that waits for an answer.

    Args:
        query: a question, or chat messages of which at least one is the user's and the last is not
            the assistant's.

    Raises:
        InputError: the query is empty or no valid chat; the message names the offending entry.
    """
    if isinstance(query, str):
        if not query.strip():
            raise InputError("The prompt is empty: give a question, or chat messages.")
        _check_characters(query, "The prompt")
        return [{"role": "user", "content": query}]
    if not isinstance(query, Sequence) or not query:
        raise InputError("The messages are empty: a chat is a list of {'role': …, 'content': …} objects.")
    messages = [_checked(message, position) for position, message in enumerate(query)]
    if not any(message["role"] == "user" and text_of(message).strip() for message in messages):
        raise InputError("The messages hold no user message with text, so there is nothing to answer.")
    if messages[-1]["role"] == "assistant":
        raise InputError("The last message is the assistant's: a query must end where an answer is due.")
    return messages


def chat_message(entry: Any) -> Any:
    """A turn `{"from": "human", "value": …}`, as ShareGPT's files have it, as a chat message; anything else as it is.

    Raises:
        InputError: the speaker is unknown.
    """
    if not isinstance(entry, Mapping) or "from" not in entry or "role" in entry:
        return entry
    speaker = entry["from"]
    role = SPEAKERS.get(speaker) if isinstance(speaker, str) else None
    if role is None:
        raise InputError(f"A turn is from {speaker!r}; known are {', '.join(SPEAKERS)}.")
    return {"role": role, "content": entry.get("value")}


def _checked(message: Any, position: int) -> Message:
    where = f"Message {position}"
    if not isinstance(message, Mapping):
        raise InputError(f"{where} is a {type(message).__name__}, not an object with 'role' and 'content'.")
    role = message.get("role")
    if role not in ROLES:
        raise InputError(f"{where} has the role {role!r}; known roles are {', '.join(ROLES)}.")
    content = message.get("content")
    if content is None and role != "assistant":
        raise InputError(f"{where} ({role}) has no content.")
    if not isinstance(content, str | list | None):
        raise InputError(f"{where} ({role}) has content of type {type(content).__name__}; text is expected.")
    for part in content if isinstance(content, list) else ():
        if not isinstance(part, Mapping | str):
            raise InputError(f"{where} ({role}) has a part of type {type(part).__name__}; objects are expected.")
    _check_characters(text_of(message), f"{where} ({role})")
    calls = message.get("tool_calls")
    if calls is not None and not (isinstance(calls, list) and all(_is_call(call) for call in calls)):
        raise InputError(f"{where} ({role}) has tool_calls that are not a list of objects with a function.")
    checked: Message = without_nulls(message)
    if content is None and not message.get("tool_calls") and not message.get("function_call"):
        # A refusal, or reasoning alone. Chat templates write a null as the word None.
        checked["content"] = ""
    return checked


def _check_characters(text: str, where: str) -> None:
    """Check that a text can be sent. Python makes halves of surrogate pairs of bytes that are not UTF-8.

    Raises:
        InputError: it cannot.
    """
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise InputError(f"{where} holds bytes that are not UTF-8, or half a character: give it as UTF-8.") from error


def without_nulls(value: Any) -> Any:
    """Plain data without object fields that are null, at any depth, but for `content`.

    Strict servers refuse such fields. Arrow gives each object of a column all fields that any of them has, and other
    programs write `"name": null`.
    """
    if isinstance(value, str):  # most values; the check of a mapping takes longer
        return value
    if isinstance(value, list):
        return [without_nulls(one) for one in value]
    if isinstance(value, Mapping):
        return {key: without_nulls(one) for key, one in value.items() if one is not None or key == "content"}
    return value


def _is_call(call: Any) -> bool:
    return isinstance(call, Mapping) and isinstance(call.get("function") or {}, Mapping)


def text_of(message: Mapping[str, Any]) -> str:
    """The text of a message; parts that are no text are named in brackets."""
    content = message.get("content")
    if isinstance(content, str):
        return content
    if not isinstance(content, list):
        return ""
    return "\n".join(_part_text(part) for part in content)


def _part_text(part: Any) -> str:
    if isinstance(part, Mapping):
        text = part.get("text")
        return text if isinstance(text, str) else f"[{part.get('type', 'part')}]"
    return str(part)


def question(messages: Conversation) -> str:
    """The text of the last user message: what the answer answers."""
    return next((text_of(m) for m in reversed(messages) if m["role"] == "user"), "")


def readable(messages: Conversation) -> str:
    """The conversation as text for a critic: a lone question as it is, else one labelled turn a paragraph."""
    if len(messages) == 1 and messages[0]["role"] == "user":
        return text_of(messages[0])
    return "\n\n".join(f"{message['role'].capitalize()}: {_turn(message)}" for message in messages)


def _turn(message: Message) -> str:
    calls = message.get("tool_calls") or []
    refusal = message.get("refusal")
    named = [refusal] if isinstance(refusal, str) else []
    named += [f"[calls {(call.get('function') or {}).get('name', 'a tool')}]" for call in calls if call]
    return "\n".join([text for text in (text_of(message), *named) if text])


def shown_calls(calls: Any) -> str:
    """Tool calls as text, the way models are used to write them: what critics and rewards see of a call.

    Args:
        calls: the `tool_calls` of an assistant's message; what is no call of a function is left out.
    """
    functions = [call.get("function") for call in calls if isinstance(call, Mapping)] if calls else []
    lines = []
    for function in functions:
        if isinstance(function, Mapping):
            name, arguments = json.dumps(function.get("name", "")), function.get("arguments") or "{}"
            shown = arguments if isinstance(arguments, str) else json.dumps(arguments)
            lines.append(f'<tool_call>{{"name": {name}, "arguments": {shown}}}</tool_call>')
    return "\n".join(lines)


def called_in(text: str) -> list[dict[str, Any]]:
    """The tool calls in a text, as `shown_calls` writes them.

    Returns:
        the name and the arguments of each; arguments that are no JSON are the text that they were.
    """
    return [
        {"name": json.loads(name), "arguments": _parsed(arguments)} for name, arguments in _SHOWN_CALL.findall(text)
    ]


def _parsed(arguments: str) -> Any:
    try:
        return json.loads(arguments)
    except (ValueError, RecursionError):
        return arguments


def answered(messages: Conversation, answer: str) -> Conversation:
    """The conversation with an answer appended: what a reward scores."""
    return [*messages, {"role": "assistant", "content": answer}]
