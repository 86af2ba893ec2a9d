"""Anthropic's protocol: what a request means, and the events and the object of its answer."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.protocols.kit import answer, calls, data_of, response, streamed
from tpo.server.deltas import Delta, Narration, Text, Thought, ToolCall
from tpo.server.errors import ApiError, BadRequest
from tpo.server.protocols.messages.reader import read_messages
from tpo.server.protocols.messages.renderer import MessagesRenderer
from tpo.server.protocols.request import GenerationRequest
from tpo.session.response import Completion

anthropic = pytest.importorskip("anthropic", reason="the anthropic package is not installed")
from anthropic.types import Message, RawMessageStreamEvent  # noqa: E402
from pydantic import TypeAdapter  # noqa: E402

EVENTS: TypeAdapter[Any] = TypeAdapter(RawMessageStreamEvent)
HI = [{"role": "user", "content": "Hi"}]


def query(**fields: Any) -> GenerationRequest:
    """The conversation that a request asks about."""
    return read_messages({"model": "m", "max_tokens": 9, "messages": HI, **fields}, ()).queries[0]


def events_of(final: Completion, *before: Delta) -> list[dict[str, Any]]:
    """All events of a streamed message."""
    return data_of(streamed(MessagesRenderer("m", "msg_1"), final, before))


def test_settings_and_tools_become_those_of_a_chat() -> None:
    request = query(
        system=[{"type": "text", "text": "Be brief.", "cache_control": {"type": "ephemeral"}}],
        temperature=0.5,
        top_k=3,
        stop_sequences=["END"],
        metadata={"user_id": "u"},
        tools=[{"name": "weather", "description": "The weather.", "input_schema": {"type": "object"}}],
        tool_choice={"type": "any", "disable_parallel_tool_use": True},
        context_management={"edits": []},
        tpo={"width": 2},
    )
    assert request.messages == [{"role": "system", "content": "Be brief."}, *HI]
    assert (request.max_tokens, request.temperature, request.alignment.width) == (9, 0.5, 2)
    function = {"name": "weather", "parameters": {"type": "object"}, "description": "The weather."}
    assert request.tools == [{"type": "function", "function": function}]
    assert request.tool_choice == "required"
    assert request.extra == {"top_k": 3, "stop": ["END"], "parallel_tool_calls": False, "user": "u"}
    assert not request.narration and not request.thought


def test_blocks_become_the_messages_of_a_chat() -> None:
    image = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "AA=="}}
    turns = [
        {"role": "user", "content": [{"type": "text", "text": "Look"}, image]},
        {
            "role": "assistant",
            "content": [
                {"type": "thinking", "thinking": "Hm", "signature": "narration"},
                {"type": "text", "text": "I look."},
                {"type": "tool_use", "id": "t1", "name": "weather", "input": {"city": "Rome"}},
                {"type": "tool_use", "id": "t2", "name": "time", "input": {}},
            ],
        },
        {
            "role": "user",
            "content": [
                {"type": "text", "text": "And?"},
                {"type": "tool_result", "tool_use_id": "t1", "content": [{"type": "text", "text": "Sun."}]},
                {"type": "tool_result", "tool_use_id": "t2", "content": "no clock", "is_error": True},
            ],
        },
    ]
    url = {"url": "data:image/png;base64,AA=="}
    assert query(messages=turns).messages == [
        {"role": "user", "content": [{"type": "text", "text": "Look"}, {"type": "image_url", "image_url": url}]},
        {
            "role": "assistant",
            "content": "I look.",
            "tool_calls": [
                {"id": "t1", "type": "function", "function": {"name": "weather", "arguments": '{"city":"Rome"}'}},
                {"id": "t2", "type": "function", "function": {"name": "time", "arguments": "{}"}},
            ],
        },
        {"role": "tool", "tool_call_id": "t1", "content": "Sun."},
        {"role": "tool", "tool_call_id": "t2", "content": "Error: no clock"},
        {"role": "user", "content": "And?"},
    ]


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"max_tokens": None}, "max_tokens"),
        ({"max_tokens": 0}, "max_tokens"),
        ({"messages": []}, "messages"),
        ({"messages": [3]}, "messages[0]"),
        ({"messages": [{"role": "robot", "content": "x"}]}, "messages[0].role"),
        ({"messages": [{"role": "user", "content": 3}]}, "messages[0].content"),
        ({"messages": [{"role": "user", "content": [{"type": "x"}]}]}, "messages[0].content[0]"),
        ({"messages": [{"role": "user", "content": [{"type": "image"}]}]}, "messages[0].content[0].source"),
        ({"messages": [{"role": "user", "content": [{"type": "text", "text": 3}]}]}, "messages[0].content[0]"),
        ({"messages": [{"role": "user", "content": [{"type": "tool_result"}]}]}, "messages[0].content[0]"),
        ({"messages": [*HI, {"role": "assistant", "content": "Well"}]}, "messages"),
        ({"tools": [{"type": "web_search_20250305", "name": "web_search"}]}, "tools[0]"),
        ({"tools": [{}]}, "tools[0]"),
        ({"tool_choice": {"type": "some"}}, "tool_choice"),
        ({"output_config": {"format": {"type": "xml"}}}, "output_config.format"),
        ({"system": [{"type": "text"}]}, "system[0]"),
    ],
)
def test_what_is_not_served_is_refused_by_name(fields: dict[str, Any], param: str) -> None:
    with pytest.raises(BadRequest) as refusal:
        query(**fields)
    assert refusal.value.param == param


@pytest.mark.parametrize("thinking", [{"type": "enabled", "budget_tokens": 1024}, {"type": "adaptive"}])
def test_reasoning_comes_where_the_client_reads_it(thinking: dict[str, Any]) -> None:
    assert query(thinking=thinking).narration and query(thinking=thinking).thought
    assert not query(thinking=thinking, tpo={"reasoning": False}).narration
    assert query(tpo={"narration": True}).narration and not query(tpo={"narration": True}).thought


def test_narration_and_thought_are_blocks_of_their_own() -> None:
    final = response(answer("Hello"), thoughts={"0.0": "Hm"}, search={"reward": 1})
    events = events_of(final, Narration("Step 0. "), Narration("Step 1."))
    assert [event["type"] for event in events] == [
        "message_start",
        "content_block_start",
        *["content_block_delta"] * 3,
        "content_block_stop",
        "content_block_start",
        *["content_block_delta"] * 2,
        "content_block_stop",
        "content_block_start",
        "content_block_delta",
        "content_block_stop",
        "message_delta",
        "message_stop",
    ]
    assert events[-2]["delta"]["stop_reason"] == "end_turn" and events[-2]["tpo"] == {"reward": 1}
    assert events[-2]["usage"]["input_tokens"] + events[-2]["usage"]["cache_read_input_tokens"] == 3
    whole = MessagesRenderer("m").whole([response(answer("Hello"), thoughts={"0.0": "Hm"}, narration="Step 0.")])
    assert [block["type"] for block in whole["content"]] == ["thinking", "thinking", "text"]
    assert [block["signature"] for block in whole["content"][:2]] == ["narration", "thought"]
    assert Message.model_validate(whole).content[2].text == "Hello"


@pytest.mark.parametrize("arguments", ['{"a": 1}', "", "[1]", "no JSON"])
def test_a_call_is_a_block_whose_input_is_an_object(arguments: str) -> None:
    whole = MessagesRenderer("m").whole([response(answer(message=calls(("c1", "weather", arguments))))])
    assert whole["stop_reason"] == "tool_use" and whole["content"][0]["id"] == "c1"
    assert isinstance(whole["content"][0]["input"], dict)


@pytest.mark.parametrize(
    ("finish", "stop"),
    [("stop", "end_turn"), ("length", "max_tokens"), ("deadline", "max_tokens"), ("content_filter", "refusal")],
)
def test_why_it_stopped(finish: str, stop: str) -> None:
    assert MessagesRenderer("m").whole([response(answer("x", finish=finish))])["stop_reason"] == stop


def test_an_error_ends_the_stream() -> None:
    stream = MessagesRenderer("m").fail(ApiError(503, "Too much."))
    assert stream.startswith(b"event: error\n")
    assert data_of(stream) == [{"type": "error", "error": {"type": "overloaded_error", "message": "Too much."}}]


texts = st.text(min_size=1)
some_deltas = st.one_of(
    st.builds(Narration, texts),
    st.builds(Thought, st.just(0), texts),
    st.builds(Text, st.just(0), texts),
    st.builds(lambda text: ToolCall(0, 0, calls(("c", "f", text))["tool_calls"][0]), texts),
)


@given(st.lists(some_deltas, max_size=8))
def test_events_fit_the_official_types_and_add_up(before: list[Delta]) -> None:
    events = events_of(response(answer("")), *before)
    blocks: list[str] = []
    for event in events:
        EVENTS.validate_python(event)
        if event["type"] == "content_block_start":
            assert event["index"] == len(blocks)
            blocks.append("")
        elif event["type"] == "content_block_delta":
            assert event["index"] == len(blocks) - 1
            blocks[-1] += "".join(str(event["delta"].get(key, "")) for key in ("text", "thinking"))
    expected = "".join(delta.text for delta in before if not isinstance(delta, ToolCall))  # type: ignore[union-attr]
    assert "".join(blocks) == expected
    assert events[-1]["type"] == "message_stop"
