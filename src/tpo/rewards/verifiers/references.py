"""References: what answers are compared with, one for all queries or found by the query."""

from __future__ import annotations

import difflib
import hashlib
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Generic, TypeVar

from tpo.errors import InputError, RewardError
from tpo.messages import QUERY_COLUMNS, Conversation, chat_message, question, text_of

T = TypeVar("T")


class References(Generic[T]):
    """The reference of each query, found by the text of the last user message; runs of spaces count as one.

    Args:
        table: reference by query text.
        source: where the table comes from, for errors.

    Raises:
        InputError: the table is empty.
    """

    def __init__(self, table: Mapping[str, T], source: str = "the references") -> None:
        if not table:
            raise InputError(f"There are no queries in {source}: give at least one query and its reference.")
        self._table = {_key(query): reference for query, reference in table.items()}
        self._source = source
        self._one: T | None = None

    @classmethod
    def one(cls, reference: T) -> References[T]:
        """The same reference for every query."""
        references = cls({"": reference})
        references._one = reference
        return references

    @classmethod
    def load(cls, path: str | Path, read: Callable[[dict[str, Any]], T], query: str | None = None) -> References[T]:
        """Read a JSON Lines file with a query and its reference in each line.

        Args:
            path: the file.
            read: makes a reference of a line; raises ValueError with what is wrong with it.
            query: the field that holds the query: unless given, the first of `tpo.messages.QUERY_COLUMNS` that exists.

        Raises:
            InputError: the file is not there or a line cannot be used; the message names the line.
        """
        table: dict[str, T] = {}
        # str.splitlines would also break at the line separators that JSON allows inside strings.
        for number, line in enumerate(read_file(path).split("\n"), 1):
            if not line.strip():
                continue
            try:
                row = _row(line)
                key = _key(_query(row, query))
                reference = read(row)
                if table.get(key, reference) != reference:
                    raise ValueError("the same query stands in an earlier line with another reference")
            except ValueError as error:
                raise InputError(f"{path}, line {number}: {error}.") from error
            table[key] = reference
        return cls(table, str(path))

    @property
    def fingerprint(self) -> str:
        """Eight hexadecimal digits that differ when a query or a reference does."""
        text = json.dumps(sorted(self._table.items()), default=repr)
        return hashlib.sha256(text.encode()).hexdigest()[:8]

    def find(self, messages: Conversation) -> T:
        """The reference of a conversation's query.

        Raises:
            RewardError: there is none.
        """
        if self._one is not None:
            return self._one
        text = question(messages)
        key = _key(text)
        if key in self._table:
            return self._table[key]
        # Comparing with a whole data set would take seconds.
        known = [query[:200] for query in self._table] if len(self._table) <= 1000 else []
        near = difflib.get_close_matches(key[:200], known, n=1, cutoff=0.8)
        hint = f" The nearest query there is {_short(near[0])}." if near else ""
        raise RewardError(f"The query {_short(text)} has no reference in {self._source}.{hint}")


def as_references(given: References[T] | T) -> References[T]:
    """References as they are; anything else as the reference of every query."""
    return given if isinstance(given, References) else References.one(given)


def read_file(path: str | Path) -> str:
    """The text of a file that the user named.

    Raises:
        InputError: it is not there or no text; near names are given.
    """
    file = Path(path)
    try:
        return file.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise InputError(f"The file {path} is no UTF-8 text: {error.reason} at byte {error.start}.") from error
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise InputError(f"The file {path} cannot be read: {reason}{_beside(file)}.") from error


def _beside(file: Path) -> str:
    try:
        near = difflib.get_close_matches(file.name, [entry.name for entry in file.parent.iterdir()], n=3)
    except (OSError, ValueError):
        return ""
    return f" (near: {', '.join(near)})" if near else ""


def _row(line: str) -> dict[str, Any]:
    try:
        row = json.loads(line)
    except RecursionError:
        raise ValueError("its JSON is nested too deeply") from None
    except json.JSONDecodeError as error:
        raise ValueError(f"no JSON: {error.msg} at column {error.colno}") from error
    if isinstance(row, dict):
        return row
    raise ValueError("no JSON object")


def field_of(row: Mapping[str, Any], name: str) -> Any:
    """A field of a row.

    Raises:
        ValueError: the row has no such field; the message names those that it has.
    """
    if row.get(name) is None:
        raise ValueError(f"no field {name!r}; it has {', '.join(map(str, row)) or 'none'}")
    return row[name]


def _query(row: Mapping[str, Any], name: str | None) -> str:
    """The question in a row, read as `tpo run` reads it: the last user message of chat messages, or a text."""
    found = name or next((column for column in QUERY_COLUMNS if column in row), None)
    if found is None:
        raise ValueError(f"no query among its fields ({', '.join(row)}): name the field, as in query=text")
    text = field_of(row, found)
    if isinstance(text, list):
        text = _last_question(text)
    elif name is None and found == "instruction" and isinstance(row.get("input"), str) and row["input"].strip():
        text = f"{text}\n\n{row['input']}"  # the two columns of Alpaca
    if not isinstance(text, str) or not text.strip():
        raise ValueError(f"the query in {found!r} is no text")
    return text


def _last_question(messages: list[Any]) -> str:
    turns = [chat_message(message) for message in messages]
    questions = [message for message in turns if isinstance(message, dict) and message.get("role") == "user"]
    return text_of(questions[-1]) if questions else ""


def _key(query: str) -> str:
    return " ".join(query.split())


def _short(text: str) -> str:
    line = _key(text)
    return repr(line if len(line) <= 80 else f"{line[:79]}…")
