"""The Responses API: what a request means, and the events and the object of its answer."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.protocols.kit import answer, calls, data_of, response, streamed, types_of
from tpo.server.deltas import Delta, Narration, Refusal, Text, Thought, ToolCall
from tpo.server.errors import ApiError, BadRequest
from tpo.server.protocols.request import GenerationRequest
from tpo.server.protocols.responses.reader import RESPONSES, read_responses
from tpo.server.protocols.responses.renderer import ResponsesRenderer
from tpo.server.protocols.responses.request import ResponsesRequest
from tpo.session.response import Completion

openai = pytest.importorskip("openai", reason="the openai package is not installed")
from openai.types.responses import Response, ResponseStreamEvent  # noqa: E402
from pydantic import TypeAdapter  # noqa: E402

EVENTS: TypeAdapter[Any] = TypeAdapter(ResponseStreamEvent)
WEATHER = {"type": "function", "name": "weather", "parameters": {"type": "object"}, "strict": True}


def query(**fields: Any) -> GenerationRequest:
    """The conversation that a request asks about."""
    return read_responses({"model": "m", "input": "Hi", **fields}, ()).queries[0]


def renderer() -> ResponsesRenderer:
    """Writes a response."""
    return ResponsesRenderer(ResponsesRequest(model="m", input="Hi"), "k", 1)


def events_of(final: Completion, *before: Delta) -> list[dict[str, Any]]:
    """All events of a streamed response."""
    return data_of(streamed(renderer(), final, before))


def test_a_question_and_all_that_a_chat_has_too() -> None:
    request = query(
        instructions="Be brief.",
        max_output_tokens=9,
        temperature=0.5,
        user="u",
        text={"format": {"type": "json_schema", "name": "s", "schema": {"type": "object"}, "strict": True}},
        reasoning={"effort": "low", "summary": "auto"},
        include=["message.output_text.logprobs"],
        metadata={"a": "b"},
        stream=True,
        tpo={"width": 2},
        min_p=0.1,
    )
    assert request.messages == [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hi"}]
    assert (request.max_tokens, request.temperature, request.alignment.width) == (9, 0.5, 2)
    schema = {"name": "s", "schema": {"type": "object"}, "strict": True}
    assert request.policy_fields == {
        "user": "u",
        "response_format": {"type": "json_schema", "json_schema": schema},
        "reasoning_effort": "low",
        "logprobs": True,
        "min_p": 0.1,
    }


def test_items_become_the_messages_of_a_chat() -> None:
    image = {"type": "input_image", "image_url": "data:image/png;base64,AA==", "detail": "low"}
    request = query(
        input=[
            {"role": "developer", "content": "Use tools."},
            {"role": "user", "content": [{"type": "input_text", "text": "Look"}, image]},
            {"type": "reasoning", "id": "rs_1", "summary": []},
            {
                "type": "message",
                "id": "msg_1",
                "role": "assistant",
                "status": "completed",
                "content": [{"type": "output_text", "text": "I ask.", "annotations": []}],
            },
            {"type": "function_call", "id": "fc_1", "call_id": "c1", "name": "weather", "arguments": '{"a": 1}'},
            {"type": "function_call", "call_id": "c2", "name": "weather", "arguments": "{}"},
            {"type": "function_call_output", "call_id": "c1", "output": "sun"},
            {"type": "function_call_output", "call_id": "c2", "output": [{"type": "input_text", "text": "rain"}]},
        ],
        tools=[WEATHER],
        tool_choice={"type": "function", "name": "weather"},
    )
    function = {"name": "weather", "arguments": '{"a": 1}'}
    assert request.messages == [
        {"role": "developer", "content": "Use tools."},
        {
            "role": "user",
            "content": [
                {"type": "text", "text": "Look"},
                {"type": "image_url", "image_url": {"url": "data:image/png;base64,AA==", "detail": "low"}},
            ],
        },
        {
            "role": "assistant",
            "content": "I ask.",
            "tool_calls": [
                {"id": "c1", "type": "function", "function": function},
                {"id": "c2", "type": "function", "function": {"name": "weather", "arguments": "{}"}},
            ],
        },
        {"role": "tool", "tool_call_id": "c1", "content": "sun"},
        {"role": "tool", "tool_call_id": "c2", "content": "rain"},
    ]
    described = {"name": "weather", "parameters": {"type": "object"}, "strict": True}
    assert request.tools == [{"type": "function", "function": described}]
    assert request.tool_choice == {"type": "function", "function": {"name": "weather"}}


@pytest.mark.parametrize(
    ("fields", "param", "says"),
    [
        ({"previous_response_id": "resp_1"}, "previous_response_id", "stores none"),
        ({"store": True}, "store", "stores nothing"),
        ({"background": True}, "background", "leave it out"),
        ({"conversation": {"id": "c"}}, "conversation", "as input"),
        ({"messages": []}, "messages", "input"),
        ({"n": 2}, "n", "one answer"),
        ({"truncation": "auto"}, "truncation", "shorten"),
        ({"input": []}, "input", "does not fit"),
        ({"input": 3}, "input", "does not fit"),
        ({"input": [{"type": "reasoning", "summary": []}]}, "input", "nothing to answer"),
        ({"input": ["x"]}, "input[0]", "not an object"),
        ({"input": [{"role": "robot", "content": "x"}]}, "input[0].role", "does not fit"),
        ({"input": [{"type": "item_reference", "id": "msg_1"}]}, "input[0]", "send the item itself"),
        ({"input": [{"type": "computer_call"}]}, "input[0]", "computer_call"),
        ({"input": [{"role": "user", "content": [{"type": "x"}]}]}, "input[0].content[0]", "input_text"),
        (
            {"input": [{"role": "user", "content": [{"type": "input_file", "file_id": "f"}]}]},
            "input[0].content[0]",
            "file_id refers to a store",
        ),
        ({"tools": [{"type": "web_search"}]}, "tools[0]", "web_search"),
        ({"tools": [{"type": "function"}]}, "tools[0]", "name"),
        ({"tool_choice": {"type": "mcp"}}, "tool_choice", "mcp"),
        ({"text": {"format": {"type": "grammar"}}}, "text.format", "grammar"),
        ({"max_output_tokens": 0}, "max_output_tokens", "does not fit"),
        ({"metadata": 3}, "metadata", "does not fit"),
    ],
)
def test_what_is_not_served_is_refused_by_name(fields: dict[str, Any], param: str, says: str) -> None:
    with pytest.raises(BadRequest) as refusal:
        RESPONSES.reader({"model": "m", "input": "Hi", **fields}, ())
    assert refusal.value.param == param
    assert says in str(refusal.value)
    assert str(refusal.value).startswith(param)


def test_store_false_is_what_happens_anyway() -> None:
    assert "store" not in query(store=False, previous_response_id=None).policy_fields


def test_a_reference_to_reasoning_is_left_out() -> None:
    given = [{"type": "item_reference", "id": "rs_1"}, {"role": "user", "content": "Hi"}]
    assert query(input=given).messages == [{"role": "user", "content": "Hi"}]


def test_the_events_of_a_text_with_progress_before_it() -> None:
    final = response(answer("Hello you"), thoughts={"0.0": "Hm"}, search={"reward": 1})
    events = events_of(final, Narration("step 0: "), Narration("0.2"))
    assert types_of(events) == [
        "created",
        "in_progress",
        "output_item.added",
        "reasoning_summary_part.added",
        "reasoning_summary_text.delta",
        "reasoning_summary_text.delta",
        "reasoning_summary_text.done",
        "reasoning_summary_part.done",
        "reasoning_text.delta",
        "reasoning_text.done",
        "output_item.done",
        "output_item.added",
        "content_part.added",
        "output_text.delta",
        "output_text.done",
        "content_part.done",
        "output_item.done",
        "completed",
    ]
    made = Response.model_validate(events[-1]["response"])
    assert made.output_text == "Hello you"
    assert made.usage is not None and made.usage.total_tokens == 5
    assert events[-1]["response"]["tpo"] == {"reward": 1}
    reasoning = events[-1]["response"]["output"][0]
    assert reasoning["summary"] == [{"type": "summary_text", "text": "step 0: 0.2"}]
    assert reasoning["content"] == [{"type": "reasoning_text", "text": "Hm"}]


def test_the_events_of_calls() -> None:
    message = calls(("c1", "weather", '{"a":1}'), ("c2", "time", "{}"))
    events = events_of(response(answer(message=message)))
    one = ["output_item.added", "function_call_arguments.delta", "function_call_arguments.done", "output_item.done"]
    assert types_of(events)[2:] == [*one, *one, "completed"]
    output = events[-1]["response"]["output"]
    assert [(call["call_id"], call["name"], call["arguments"]) for call in output] == [
        ("c1", "weather", '{"a":1}'),
        ("c2", "time", "{}"),
    ]


@pytest.mark.parametrize(
    ("finish", "reason"),
    [("length", "max_output_tokens"), ("deadline", "max_output_tokens"), ("content_filter", "content_filter")],
)
def test_an_answer_that_was_cut_is_incomplete(finish: str, reason: str) -> None:
    events = events_of(response(answer("Half", finish=finish)))
    assert events[-1]["type"] == "response.incomplete"
    assert events[-1]["response"]["incomplete_details"] == {"reason": reason}
    assert events[-1]["response"]["output"][0]["status"] == "incomplete"


def test_an_error_in_the_stream_ends_it_as_failed() -> None:
    write = renderer()
    events = data_of(write.begin() + write.delta(0, Text(0, "Half")) + write.fail(ApiError(502, "It is gone.")))
    assert types_of(events)[-2:] == ["error", "failed"]
    assert events[-1]["response"]["status"] == "failed"
    assert events[-1]["response"]["error"] == {"code": "server_error", "message": "It is gone."}
    assert events[-1]["response"]["output"][0]["content"][0]["text"] == "Half"


def test_an_empty_answer_is_an_empty_message() -> None:
    made = Response.model_validate(events_of(response(answer("")))[-1]["response"])
    assert made.output_text == "" and made.output[0].type == "message"


def test_logprobs_and_a_refusal_are_there() -> None:
    token = {"token": "Hi", "logprob": -0.5, "bytes": [72, 105], "top_logprobs": []}
    final = response(answer("No.", message={"role": "assistant", "content": None, "refusal": "No."}))
    events = events_of(final, Text(0, "Hi", {"content": [token]}))
    content = events[-1]["response"]["output"][0]["content"]
    assert content[0]["logprobs"] == [token]
    assert content[1] == {"type": "refusal", "refusal": "No."}
    assert "refusal.delta" in types_of(events) and "refusal.done" in types_of(events)
    for event in events:
        EVENTS.validate_python(event)


texts = st.text(min_size=1)
grown_deltas = st.one_of(
    st.builds(Narration, texts),
    st.builds(Thought, st.just(0), texts),
    st.builds(Text, st.just(0), texts),
    st.builds(Refusal, st.just(0), texts),
    st.builds(
        lambda text: ToolCall(0, 0, calls(("c", "f", text))["tool_calls"][0]),
        texts,
    ),
)


@given(st.lists(grown_deltas, max_size=8), st.sampled_from(["stop", "length", "tool_calls"]))
def test_events_fit_the_official_types_and_add_up(before: list[Delta], finish: str) -> None:
    events = events_of(response(answer("", finish=finish)), *before)
    assert [event["sequence_number"] for event in events] == list(range(len(events)))
    grown: dict[int, str] = {}
    items: dict[int, Any] = {}
    for event in events:
        EVENTS.validate_python(event)
        if event["type"].endswith(".delta"):
            grown[event["output_index"]] = grown.get(event["output_index"], "") + event["delta"]
        if event["type"] == "response.output_item.done":
            items[event["output_index"]] = event["item"]
    output = events[-1]["response"]["output"]
    assert output == [items[place] for place in sorted(items)]
    for place, text in grown.items():
        assert sorted(text_in(output[place])) == sorted(text)


def text_in(item: dict[str, Any]) -> str:
    """All text of an output item."""
    if item["type"] == "function_call":
        return str(item["arguments"])
    parts = item["content"] if item["type"] == "message" else [*item["summary"], *item.get("content", [])]
    return "".join(part.get("text", part.get("refusal")) for part in parts)


def test_in_one_piece_it_is_the_response_that_the_events_end_with() -> None:
    message = {**calls(("c1", "weather", "{}")), "content": "I look."}
    final = response(answer(message=message), narration="Step 0", thoughts={"0.0": "Hm"})
    events = events_of(final, Narration("Step 0"))
    whole = renderer().whole([final])
    assert {**whole, "completed_at": 0} == {**events[-1]["response"], "completed_at": 0}
    assert [item.type for item in Response.model_validate(whole).output] == ["reasoning", "message", "function_call"]
