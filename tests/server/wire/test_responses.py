"""The Responses API in other words: what is asked of the chat, and what is told of its answer."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tpo.server.wire.refusal import BadRequest
from tpo.server.wire.responses import Event, Telling, chat_body, responses_request, told

openai = pytest.importorskip("openai", reason="the openai package is not installed")
from openai.types.responses import Response, ResponseStreamEvent  # noqa: E402
from pydantic import TypeAdapter  # noqa: E402

EVENTS: TypeAdapter[Any] = TypeAdapter(ResponseStreamEvent)
WEATHER = {"type": "function", "name": "weather", "parameters": {"type": "object"}, "strict": True}


def asked(**fields: Any) -> dict[str, Any]:
    """The chat completion that a request becomes."""
    body = {"model": "m", "input": "Hi", **fields}
    return chat_body(responses_request(body), body)


def events_of(*chunks: dict[str, Any], **fields: Any) -> list[Event]:
    """All events of a streamed response."""
    telling = Telling(responses_request({"model": "m", "input": "Hi", **fields}), "k", 1)
    events = telling.begin()
    for chunk in chunks:
        events += telling.take(chunk)
    return events + telling.end()


def delta(finish: str | None = None, logprobs: Any = None, **fields: Any) -> dict[str, Any]:
    """A chunk of a chat completion."""
    choice = {"index": 0, "delta": fields, "finish_reason": finish, "logprobs": logprobs}
    return {"id": "chatcmpl-1", "model": "m", "choices": [choice]}


def types_of(events: list[Event]) -> list[str]:
    return [event["type"].removeprefix("response.") for event in events]


def test_a_question_and_all_that_a_chat_has_too() -> None:
    body = asked(
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
    assert body == {
        "model": "m",
        "messages": [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hi"}],
        "max_completion_tokens": 9,
        "temperature": 0.5,
        "user": "u",
        "response_format": {
            "type": "json_schema",
            "json_schema": {"name": "s", "schema": {"type": "object"}, "strict": True},
        },
        "reasoning_effort": "low",
        "logprobs": True,
        "stream": True,
        "stream_options": {"include_usage": True},
        "tpo": {"width": 2},
        "min_p": 0.1,
    }


def test_items_become_the_messages_of_a_chat() -> None:
    image = {"type": "input_image", "image_url": "data:image/png;base64,AA==", "detail": "low"}
    body = asked(
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
    assert body["messages"] == [
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
    assert body["tools"] == [{"type": "function", "function": described}]
    assert body["tool_choice"] == {"type": "function", "function": {"name": "weather"}}


@pytest.mark.parametrize(
    ("fields", "param", "says"),
    [
        ({"previous_response_id": "resp_1"}, "previous_response_id", "nothing is stored"),
        ({"store": True}, "store", "nothing is stored"),
        ({"background": True}, "background", "leave it out"),
        ({"conversation": {"id": "c"}}, "conversation", "as input"),
        ({"messages": []}, "messages", "input"),
        ({"n": 2}, "n", "one answer"),
        ({"truncation": "auto"}, "truncation", "shorten"),
        ({"input": []}, "input", "does not fit"),
        ({"input": 3}, "input", "does not fit"),
        ({"input": [{"type": "reasoning", "summary": []}]}, "input", "nothing to answer"),
        ({"input": ["x"]}, "input[0]", "no object"),
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
        asked(**fields)
    assert refusal.value.param == param
    assert says in str(refusal.value)
    assert str(refusal.value).startswith(param)


def test_store_false_is_what_happens_anyway() -> None:
    assert "store" not in asked(store=False, previous_response_id=None)


def test_the_events_of_a_text_with_progress_before_it() -> None:
    events = events_of(
        delta(role="assistant", content=""),
        delta(reasoning_content="step 0: "),
        delta(reasoning_content="0.2"),
        delta(content="Hello "),
        delta(content="you"),
        delta(finish="stop"),
        {"choices": [], "usage": {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5}, "tpo": {"reward": 1}},
    )
    assert types_of(events) == [
        "created",
        "in_progress",
        "output_item.added",
        "reasoning_summary_part.added",
        "reasoning_summary_text.delta",
        "reasoning_summary_text.delta",
        "reasoning_summary_text.done",
        "reasoning_summary_part.done",
        "output_item.done",
        "output_item.added",
        "content_part.added",
        "output_text.delta",
        "output_text.delta",
        "output_text.done",
        "content_part.done",
        "output_item.done",
        "completed",
    ]
    response = Response.model_validate(events[-1]["response"])
    assert response.output_text == "Hello you"
    assert response.usage is not None and response.usage.total_tokens == 5
    assert events[-1]["response"]["tpo"] == {"reward": 1}
    assert [event["output_index"] for event in events if "output_index" in event] == [0] * 7 + [1] * 7


def test_the_events_of_calls() -> None:
    first = {"index": 0, "id": "c1", "type": "function", "function": {"name": "weather", "arguments": ""}}
    events = events_of(
        delta(tool_calls=[first]),
        delta(tool_calls=[{"index": 0, "function": {"arguments": '{"a":'}}]),
        delta(tool_calls=[{"index": 0, "function": {"arguments": "1}"}}]),
        delta(tool_calls=[{"index": 1, "id": "c2", "function": {"name": "time", "arguments": "{}"}}]),
        delta(finish="tool_calls"),
    )
    assert types_of(events)[2:] == [
        "output_item.added",
        "function_call_arguments.delta",
        "function_call_arguments.delta",
        "function_call_arguments.done",
        "output_item.done",
        "output_item.added",
        "function_call_arguments.delta",
        "function_call_arguments.done",
        "output_item.done",
        "completed",
    ]
    calls = events[-1]["response"]["output"]
    assert [(call["call_id"], call["name"], call["arguments"]) for call in calls] == [
        ("c1", "weather", '{"a":1}'),
        ("c2", "time", "{}"),
    ]


@pytest.mark.parametrize(("finish", "reason"), [("length", "max_output_tokens"), ("content_filter", "content_filter")])
def test_an_answer_that_was_cut_is_incomplete(finish: str, reason: str) -> None:
    events = events_of(delta(content="Half"), delta(finish=finish))
    assert events[-1]["type"] == "response.incomplete"
    assert events[-1]["response"]["incomplete_details"] == {"reason": reason}
    assert events[-1]["response"]["output"][0]["status"] == "incomplete"


def test_an_error_in_the_stream_ends_it_as_failed() -> None:
    events = events_of(delta(content="Half"), {"error": {"message": "The server is gone.", "code": 502}}, delta("stop"))
    assert types_of(events)[-2:] == ["error", "failed"]
    assert events[-1]["response"]["status"] == "failed"
    assert events[-1]["response"]["error"] == {"code": "server_error", "message": "The server is gone."}
    assert events[-1]["response"]["output"][0]["content"][0]["text"] == "Half"


def test_a_stream_without_an_end_has_failed() -> None:
    assert events_of(delta(content="Half"))[-1]["type"] == "response.failed"


def test_an_empty_answer_is_an_empty_message() -> None:
    response = Response.model_validate(events_of(delta(finish="stop"))[-1]["response"])
    assert response.output_text == "" and response.output[0].type == "message"


def test_logprobs_and_a_refusal_are_told() -> None:
    token = {"token": "Hi", "logprob": -0.5, "bytes": [72, 105], "top_logprobs": []}
    events = events_of(delta(content="Hi", logprobs={"content": [token]}), delta(refusal="No."), delta("stop"))
    content = events[-1]["response"]["output"][0]["content"]
    assert content[0]["logprobs"] == [token]
    assert content[1] == {"type": "refusal", "refusal": "No."}
    assert "refusal.delta" in types_of(events) and "refusal.done" in types_of(events)
    for event in events:
        EVENTS.validate_python(event)


pieces = st.lists(st.text(min_size=1), min_size=1, max_size=4)
turns = st.one_of(
    st.tuples(st.sampled_from(["reasoning_content", "content", "refusal"]), pieces),
    st.tuples(st.just("call"), pieces),
)


@given(st.lists(turns, max_size=5), st.sampled_from(["stop", "length", "tool_calls"]))
def test_events_are_what_the_official_types_say_and_add_up(said: list[tuple[str, list[str]]], finish: str) -> None:
    chunks, calls = [], 0
    for kind, texts in said:
        for number, text in enumerate(texts):
            if kind == "call":
                function = {"arguments": text} | ({"name": "f"} if number == 0 else {})
                chunks.append(delta(tool_calls=[{"index": calls, "id": f"c{calls}", "function": function}]))
            else:
                chunks.append(delta(**{kind: text}))
        calls += kind == "call"
    events = events_of(*chunks, delta(finish))
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
        assert text_in(output[place]) == text


def text_in(item: dict[str, Any]) -> str:
    """All text of an output item."""
    if item["type"] == "function_call":
        return str(item["arguments"])
    parts = item["content"] if item["type"] == "message" else item["summary"]
    return "".join(part.get("text", part.get("refusal")) for part in parts)


def test_in_one_piece_it_is_the_response_that_the_events_end_with() -> None:
    call = {"id": "c1", "type": "function", "function": {"name": "weather", "arguments": "{}"}}
    message = {"role": "assistant", "reasoning_content": "Hm", "content": "I look.", "tool_calls": [call]}
    usage = {"prompt_tokens": 1, "completion_tokens": 2, "total_tokens": 3}
    completion = {
        "created": 1,
        "model": "m",
        "choices": [{"index": 0, "message": message, "finish_reason": "tool_calls", "logprobs": None}],
        "usage": usage,
    }
    events = events_of(
        delta(reasoning_content="Hm"),
        delta(content="I "),
        delta(content="look."),
        delta(tool_calls=[{"index": 0, **call}]),
        delta("tool_calls"),
        {"choices": [], "usage": usage},
    )
    whole = told(responses_request({"model": "m", "input": "Hi"}), completion, "k")
    assert {**whole, "completed_at": 0} == {**events[-1]["response"], "completed_at": 0}
    assert [item.type for item in Response.model_validate(whole).output] == ["reasoning", "message", "function_call"]
