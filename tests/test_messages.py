"""Queries: what is a conversation and what is not."""

from __future__ import annotations

from typing import Any

import pytest

from tpo.errors import InputError
from tpo.messages import answered, conversation, question, readable


@pytest.mark.parametrize(
    ("query", "complaint"),
    [
        ("", "empty"),
        (" \n", "empty"),
        ([], "empty"),
        (["hi"], "Message 0 is a str"),
        ([{"role": "human", "content": "hi"}], "role 'human'"),
        ([{"content": "hi"}], "role None"),
        ([{"role": "user"}], "has no content"),
        ([{"role": "user", "content": 3}], "type int"),
        ([{"role": "system", "content": "hi"}], "no user message"),
        ([{"role": "user", "content": " "}], "no user message"),
        ("a \udcff", "The prompt holds bytes that are not UTF-8"),
        ([{"role": "user", "content": [{"type": "text", "text": "a \ud800"}]}], "Message 0 .user. holds bytes that"),
        ([{"role": "user", "content": "hi"}, {"role": "assistant", "content": "ho"}], "must end where"),
    ],
)
def test_what_is_no_query_is_refused_with_its_place(query: Any, complaint: str) -> None:
    with pytest.raises(InputError, match=complaint):
        conversation(query)


def test_messages_keep_what_tpo_does_not_know() -> None:
    chat: list[dict[str, Any]] = [
        {
            "role": "user",
            "content": [{"type": "text", "text": "What is this?"}, {"type": "image_url"}],
        },
        {"role": "assistant", "content": None, "tool_calls": [{"id": "1", "function": {"name": "look"}}]},
        {"role": "tool", "tool_call_id": "1", "content": "a table"},
    ]
    kept = conversation(chat)
    assert kept == chat
    assert question(kept) == "What is this?\n[image_url]"
    assert readable(kept) == "User: What is this?\n[image_url]\n\nAssistant: [calls look]\n\nTool: a table"
    assert answered(kept, "oak")[-1] == {"role": "assistant", "content": "oak"}
    assert len(kept) == 3
