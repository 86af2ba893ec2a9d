"""Messages that are more than text: tool calls, refusals, log-probabilities; and the fields that ask for them."""

from __future__ import annotations

import json
from typing import Any

import pytest

from models.server import delta, response, stream
from models.test_openai import USAGE, answering, call
from tpo.messages import shown_calls

CALL = {"id": "c1", "type": "function", "function": {"name": "weather", "arguments": '{"city": "Rome"}'}}
OTHER = {"id": "c2", "type": "function", "function": {"name": "clock", "arguments": "{}"}}


def piece(index: int, **more: Any) -> dict[str, Any]:
    return delta(None, tool_calls=[{"index": index, **more}])


def whole(message: dict[str, Any], finish: str = "tool_calls", **more: Any) -> bytes:
    choice = {"index": 0, "message": message, "finish_reason": finish, **more}
    return response(json.dumps({"choices": [choice], "usage": {"prompt_tokens": 5, "completion_tokens": 2}}))


async def test_calls_that_come_in_pieces() -> None:
    answer = stream(
        delta("", role="assistant"),
        piece(0, id="c1", type="function", function={"name": "weather", "arguments": ""}),
        piece(0, function={"arguments": '{"city": '}),
        piece(1, id="c2", type="function", function={"name": "clock", "arguments": "{}"}),
        # As some servers do: the name comes again with every piece.
        piece(0, function={"name": "weather", "arguments": '"Rome"}'}),
        delta(None, finish="tool_calls"),
        USAGE,
    )
    (choice,), *_ = await call(answering(answer))
    assert choice.message == {"role": "assistant", "content": None, "tool_calls": [CALL, OTHER]}
    assert (choice.text, choice.finish_reason) == ("", "tool_calls")


async def test_calls_that_come_whole_beside_text() -> None:
    answer = whole({"role": "assistant", "content": "Let me see.", "tool_calls": [CALL, OTHER]})
    (choice,), *_ = await call(answering(answer), stream=False)
    assert choice.message == {"role": "assistant", "content": "Let me see.", "tool_calls": [CALL, OTHER]}
    assert choice.text == "Let me see."


async def test_a_refusal_is_kept_as_one() -> None:
    (choice,), *_ = await call(answering(whole({"content": None, "refusal": "No."}, "stop")), stream=False)
    assert choice.message == {"role": "assistant", "content": None, "refusal": "No."}
    assert choice.text == "No."


async def test_log_probabilities_of_a_stream_are_put_together() -> None:
    first, second = delta("Hel"), delta("lo", finish="stop")
    for chunk, token in ((first, "Hel"), (second, "lo")):
        chunk["choices"][0]["logprobs"] = {"content": [{"token": token, "logprob": -0.5}]}
    (choice,), *_ = await call(answering(stream(first, second, USAGE)))
    assert choice.logprobs is not None
    assert [one["token"] for one in choice.logprobs["content"]] == ["Hel", "lo"]


async def test_plain_text_has_no_message_of_its_own() -> None:
    (choice,), *_ = await call(answering(whole({"content": "Hi", "tool_calls": None, "refusal": None}, "stop")))
    assert (choice.message, choice.logprobs) == (None, None)


async def test_further_fields_are_sent_and_cannot_take_the_place_of_ours() -> None:
    extra = {"stop": ["\n"], "tools": [{"type": "function"}], "model": "another", "messages": []}
    *_, received = await call(answering(whole({"content": "Hi"}, "stop")), stream=False, extra=extra)
    body = received[-1].json
    assert (body["stop"], body["tools"]) == (["\n"], [{"type": "function"}])
    assert body["model"] != "another"
    assert body["messages"]


@pytest.mark.parametrize("calls", [[None, "x", {"function": None}, {}, {"function": 7}], None, []])
async def test_what_is_no_call_shows_as_nothing(calls: Any) -> None:
    assert shown_calls(calls) == ""


async def test_calls_are_shown_by_name_and_arguments() -> None:
    assert shown_calls([CALL, OTHER]) == (
        '<tool_call>{"name": "weather", "arguments": {"city": "Rome"}}</tool_call>\n'
        '<tool_call>{"name": "clock", "arguments": {}}</tool_call>'
    )
