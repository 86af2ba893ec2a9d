"""The query in a row: a text, chat messages, or a conversation as ShareGPT writes it."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any

from tpo.errors import InputError
from tpo.messages import QUERY_COLUMNS, Conversation, chat_message, conversation
from tpo.runs.reading.records import kind

CHATS = ("messages", "conversations")
SYSTEM = "system"


def query_of(fields: Mapping[str, Any], column: str | None) -> Conversation:
    """The query that a row holds.

    Args:
        fields: the row's columns.
        column: the one that holds the query; without it the first of QUERY_COLUMNS counts.

    Raises:
        InputError: it holds none, or none that can be sent.
    """
    chosen = column or next((name for name in QUERY_COLUMNS if name in fields), None)
    if chosen is None:
        raise InputError(f"The row has no column with a query: one of {', '.join(QUERY_COLUMNS)} is expected.")
    value = fields.get(chosen)
    if chosen in CHATS and isinstance(value, str):
        value = _unpacked(chosen, value)
    if isinstance(value, list):
        messages = conversation(_unanswered([chat_message(entry) for entry in value]))
    else:
        query = _text(chosen, value)
        if column is None and chosen == "instruction":  # the two columns of Alpaca
            query = "\n\n".join([query, *_optional("input", fields)])
        messages = conversation(query)
    if messages[0]["role"] not in ("system", "developer"):
        messages = [*({"role": "system", "content": text} for text in _optional(SYSTEM, fields)), *messages]
    return messages


def canonical(messages: Conversation) -> bytes:
    """A query as bytes, the same for the same query.

    Raises:
        InputError: it holds what cannot be sent as JSON.
    """
    try:
        text = json.dumps(messages, ensure_ascii=False, sort_keys=True, separators=(",", ":"), allow_nan=False)
        data = text.encode("utf-8")
    except UnicodeEncodeError as error:
        raise InputError("The query holds bytes that are not UTF-8, or half a character: save it as UTF-8.") from error
    except RecursionError as error:
        raise InputError("The query is nested too deeply to be sent.") from error
    except (TypeError, ValueError) as error:
        raise InputError(f"The query cannot be written as JSON: {error}.") from error
    if "\\u0000" in text and "\\u0000" in text.replace("\\\\", ""):
        raise InputError("The query holds a NUL character, a sign of a wrong encoding: save it as UTF-8.")
    return data


def _unanswered(messages: list[Any]) -> list[Any]:
    """The messages before the last answer, which data made for training includes."""
    end = len(messages)
    while end and isinstance(messages[end - 1], Mapping) and messages[end - 1].get("role") == "assistant":
        end -= 1
    return messages[:end]


def _unpacked(column: str, value: str) -> Any:
    """Messages written as JSON, the only way into a CSV."""
    try:
        messages = json.loads(value)
    except (ValueError, RecursionError) as error:
        raise InputError(f"The column {column!r} holds text that is no JSON list of chat messages.") from error
    if not isinstance(messages, list):
        raise InputError(f"The column {column!r} holds JSON that is {kind(messages)}, not a list of chat messages.")
    return messages


def _text(column: str, value: Any) -> str:
    if value is None or (isinstance(value, float) and math.isnan(value)):
        raise InputError(f"The column {column!r} is empty: text or chat messages are expected.")
    if not isinstance(value, str):
        raise InputError(f"The column {column!r} is {kind(value)}: text or chat messages are expected.")
    if not value.strip():
        raise InputError(f"The column {column!r} has no text: a query is expected.")
    return value


def _optional(column: str, fields: Mapping[str, Any]) -> list[str]:
    """The text of a column that may be missing or empty, in a list that then is empty too."""
    value = fields.get(column)
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return []
    if not isinstance(value, str):
        raise InputError(f"The column {column!r} is {kind(value)}: text is expected.")
    return [value] if value.strip() else []
