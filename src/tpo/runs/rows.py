"""The rows of a dataset, as a run sees them."""

from __future__ import annotations

import msgspec

from tpo.messages import Conversation


class QueryRow(msgspec.Struct, frozen=True):
    """A row that holds a query.

    Attributes:
        number: its position in the data from 0, bad rows counted.
        where: where a person finds it, as in "prompts.jsonl, line 7".
        id: what it is called in everything that a run writes; unique within the data.
        messages: the query.
    """

    number: int
    where: str
    id: str
    messages: Conversation


class BadRow(msgspec.Struct, frozen=True):
    """A row that holds none.

    Attributes:
        number: its position in the data from 0.
        where: where a person finds it.
        reason: a sentence that says what is wrong and what is expected.
    """

    number: int
    where: str
    reason: str
