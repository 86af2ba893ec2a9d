"""From the records of a format to the rows of a run: the query in each record, and an id of its own.

A query is a text, chat messages, or a conversation as ShareGPT writes it.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from hashlib import blake2b
from typing import Any
from unicodedata import category

from tpo.errors import InputError
from tpo.messages import QUERY_COLUMNS, Conversation, chat_message, conversation
from tpo.runs.reading.records import DataRecord, DataTable, Flaw, guarded, kind, listed, readable
from tpo.runs.rows import BadRow, QueryRow

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


class Data:
    """The queries in some data.

    Args:
        table: the data.
        column: the column that holds the query; without it the usual names are looked for.

    Raises:
        InputError: the data cannot be read, has no rows, or has no column with queries.
    """

    def __init__(self, table: DataTable, column: str | None) -> None:
        self.name = table.name
        self._table = table
        self._column = column
        self._check()

    def rows(self) -> Iterator[QueryRow | BadRow]:
        """All rows from the start, the same each time.

        Raises:
            InputError: the data cannot be read any further.
        """
        ids = Ids()
        for number, record in enumerate(self._records()):
            yield self._row(number, record, ids)

    def _records(self) -> Iterator[DataRecord | Flaw]:
        queries = QUERY_COLUMNS if self._column is None else (self._column,)
        return guarded(self.name, self._table.records({*queries, *ID_COLUMNS, SYSTEM}))

    def _row(self, number: int, record: DataRecord | Flaw, ids: Ids) -> QueryRow | BadRow:
        if isinstance(record, Flaw):
            return BadRow(number, record.where, record.reason)
        try:
            messages = query_of(record.fields, self._column)
            content = canonical(messages)
            return QueryRow(number, record.where, ids.given(record.fields) or ids.made(content), messages)
        except InputError as error:
            return BadRow(number, record.where, str(error))

    def _check(self) -> None:
        with readable(self.name):
            columns = self._table.columns()
        # Without columns no row near the start is readable: each of them becomes a BadRow with its reason.
        if columns:
            self._check_columns(columns)
        if next(self._records(), None) is None:
            raise InputError(f"{self.name} has no rows: at least one query is needed.")

    def _check_columns(self, columns: list[str]) -> None:
        if self._column is not None and self._column not in columns:
            raise InputError(f"{self.name} has no column {self._column!r}; it has {listed(columns)}.")
        if self._column is None and not set(QUERY_COLUMNS) & set(columns):
            raise InputError(
                f"{self.name} has no column known to hold a query ({', '.join(QUERY_COLUMNS)}); it has "
                f"{listed(columns)}. Name the one that does with --column."
            )


# The first of these that a row has holds its id.
ID_COLUMNS = ("id", "uid", "prompt_id", "question_id", "idx")

_LONGEST = 200
# Control characters and line breaks, which spoil a log, and halves of characters, which cannot be written at all.
_UNFIT = ("Cc", "Cs", "Zl", "Zp")


class Ids:
    """Names the rows of one pass over the data, each differently."""

    def __init__(self) -> None:
        # Hashes of 60 bits, not the ids: a million rows then cost what their ids alone would.
        self._taken: set[int] = set()
        self._repeats: dict[str, int] = {}

    def given(self, fields: Mapping[str, Any]) -> str | None:
        """Take the row's own id; None where it has none.

        Raises:
            InputError: it cannot be used, or another row has it.
        """
        for column in ID_COLUMNS:
            if (name := _id_text(column, fields.get(column))) is not None:
                if not self._take(name):
                    raise InputError(
                        f"The id {name!r} belongs to another row as well: give each row its own, or rename the "
                        f"column {column!r}."
                    )
                return name
        return None

    def made(self, canonical: bytes) -> str:
        """An id made from a query; the same query again gets -2, -3, …"""
        base = blake2b(canonical, digest_size=8).hexdigest()
        name = base
        while not self._take(name):
            count = self._repeats.get(base, 1) + 1
            self._repeats[base] = count
            name = f"{base}-{count}"
        return name

    def _take(self, name: str) -> bool:
        key = int.from_bytes(blake2b(name.encode(), digest_size=8).digest(), "big") >> 4
        if key in self._taken:
            return False
        self._taken.add(key)
        return True


def _id_text(column: str, value: Any) -> str | None:
    if isinstance(value, float):
        if math.isnan(value):  # what pandas writes for a missing value
            return None
        if value.is_integer():  # a column of whole numbers with gaps, as pandas keeps it
            value = int(value)
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    if value is None or value == "":
        return None
    if not isinstance(value, str):
        raise InputError(f"The id in the column {column!r} is a {type(value).__name__}: text or a whole number is due.")
    if len(value) > _LONGEST:
        raise InputError(f"The id in the column {column!r} has {len(value)} characters: {_LONGEST} at most are due.")
    if not value.strip() or any(category(character) in _UNFIT for character in value):
        raise InputError(f"The id in the column {column!r} is {value!r}: a line of readable text is due.")
    return value
