"""OpenAI's client for Python, as it is, sync and async."""

from __future__ import annotations

import inspect
import json
from typing import Any

import pytest

from server.clients.kit import MODEL, Served

openai = pytest.importorskip("openai", reason="the openai package is not installed")
from pydantic import BaseModel  # noqa: E402

HI: Any = [{"role": "user", "content": "Hi"}]
SMALL = {"tpo": {"width": 2, "depth": 1}}
PARAMETERS = {
    "type": "object",
    "properties": {"city": {"type": "string"}},
    "required": ["city"],
    "additionalProperties": False,
}
FUNCTION = {"name": "weather", "description": "The weather.", "parameters": PARAMETERS, "strict": True}
TOOLS: Any = [{"type": "function", "function": FUNCTION}]


class Place(BaseModel):
    """What a structured answer holds."""

    city: str
    days: int


@pytest.fixture(params=["sync", "async"])
def client(request: pytest.FixtureRequest, served: Served) -> Any:
    """A client of either kind; `done` and `all_of` hide the difference."""
    kind = openai.OpenAI if request.param == "sync" else openai.AsyncOpenAI
    made: Any = kind(base_url=served.url, api_key="none", max_retries=0)
    return made


async def done(value: Any) -> Any:
    return await value if inspect.isawaitable(value) else value


async def all_of(stream: Any) -> list[Any]:
    stream = await done(stream)
    return [part async for part in stream] if hasattr(stream, "__aiter__") else list(stream)


@pytest.mark.feature("OpenAI, Python", "chat")
async def test_chat(client: Any) -> None:
    answer = await done(client.chat.completions.create(model=MODEL, messages=HI, extra_body=SMALL, max_tokens=32))
    assert answer.choices[0].message.content == "You said: Hi"
    assert answer.choices[0].finish_reason == "stop"
    # Two answers of step 0 and two of step 1, and two critiques.
    assert answer.usage.total_tokens > 2 * 12


async def test_several_answers(client: Any) -> None:
    answer = await done(client.chat.completions.create(model="small", messages=HI, n=2))
    assert [choice.message.content for choice in answer.choices] == ["You said: Hi"] * 2


@pytest.mark.feature("OpenAI, Python", "stream")
async def test_a_streamed_chat_shows_progress_and_then_the_answer(client: Any) -> None:
    chunks = await all_of(
        client.chat.completions.create(
            model=MODEL, messages=HI, stream=True, stream_options={"include_usage": True}, extra_body=SMALL
        )
    )
    deltas = [choice.delta for chunk in chunks for choice in chunk.choices]
    assert "".join(delta.content or "" for delta in deltas) == "You said: Hi"
    assert any(getattr(delta, "reasoning_content", None) for delta in deltas)
    assert chunks[-1].usage.total_tokens > 0


@pytest.mark.feature("OpenAI, Python", "stream")
async def test_a_streamed_chat_is_put_together_by_the_client(client: Any) -> None:
    making = client.chat.completions.stream(model=MODEL, messages=HI, extra_body=SMALL)
    if hasattr(making, "__aenter__"):
        async with making as stream:
            answer = await stream.get_final_completion()
    else:
        with making as stream:
            answer = stream.get_final_completion()
    message = answer.choices[0].message
    assert message.content == "You said: Hi"
    (narration,) = message.reasoning_details
    assert narration["summary"] == message.reasoning_content and "Step 1" in narration["summary"]


@pytest.mark.feature("OpenAI, Python", "tools")
async def test_tools_are_called_and_what_they_return_is_sent_back(client: Any) -> None:
    answer = await done(
        client.chat.completions.create(model=MODEL, messages=HI, tools=TOOLS, extra_body=SMALL, tool_choice="auto")
    )
    assert answer.choices[0].finish_reason == "tool_calls"
    call = answer.choices[0].message.tool_calls[0]
    assert (call.function.name, json.loads(call.function.arguments)) == ("weather", {"city": "Rome"})
    messages = [*HI, answer.choices[0].message, {"role": "tool", "tool_call_id": call.id, "content": "Sun."}]
    after = await done(client.chat.completions.create(model=MODEL, messages=messages, tools=TOOLS, extra_body=SMALL))
    assert after.choices[0].message.content == "You said: Sun."


@pytest.mark.feature("OpenAI, Python", "tools")
async def test_streamed_tool_calls_come_back_whole(client: Any) -> None:
    chunks = await all_of(
        client.chat.completions.create(model=MODEL, messages=HI, tools=TOOLS, stream=True, extra_body=SMALL)
    )
    pieces = [call for chunk in chunks for choice in chunk.choices for call in choice.delta.tool_calls or ()]
    assert [piece.function.name for piece in pieces if piece.function.name] == ["weather"]
    assert json.loads("".join(piece.function.arguments or "" for piece in pieces)) == {"city": "Rome"}
    assert chunks[-1].choices == [] or chunks[-1].choices[0].finish_reason == "tool_calls"


@pytest.mark.feature("OpenAI, Python", "structured output")
async def test_structured_output_is_parsed(client: Any) -> None:
    answer = await done(
        client.chat.completions.parse(model=MODEL, messages=HI, response_format=Place, extra_body=SMALL)
    )
    assert answer.choices[0].message.parsed == Place(city="Rome", days=3)


@pytest.mark.feature("OpenAI, Python", "chat")
async def test_a_response(client: Any) -> None:
    response = await done(
        client.responses.create(model=MODEL, instructions="Be brief.", input="Hi", extra_body=SMALL, store=False)
    )
    assert response.status == "completed" and response.output_text == "You said: Hi"
    assert response.usage.total_tokens > 2 * 12


@pytest.mark.feature("OpenAI, Python", "stream")
async def test_a_streamed_response(client: Any) -> None:
    events = await all_of(client.responses.create(model=MODEL, input="Hi", stream=True, extra_body=SMALL))
    types = [event.type for event in events]
    assert types[:2] == ["response.created", "response.in_progress"]
    assert "response.reasoning_summary_text.delta" in types
    assert "".join(event.delta for event in events if event.type == "response.output_text.delta") == "You said: Hi"
    assert events[-1].type == "response.completed" and events[-1].response.output_text == "You said: Hi"


@pytest.mark.feature("OpenAI, Python", "tools")
async def test_a_response_that_calls_and_goes_on(client: Any) -> None:
    tools: Any = [{"type": "function", **FUNCTION}]
    first = await done(client.responses.create(model=MODEL, input="Hi", tools=tools, extra_body=SMALL))
    call = next(item for item in first.output if item.type == "function_call")
    assert (call.name, json.loads(call.arguments)) == ("weather", {"city": "Rome"})
    said = {"type": "function_call_output", "call_id": call.call_id, "output": "Sun."}
    after = await done(
        client.responses.create(model=MODEL, input=[*HI, *first.output, said], tools=tools, extra_body=SMALL)
    )
    assert after.output_text == "You said: Sun."


@pytest.mark.feature("OpenAI, Python", "structured output")
async def test_a_parsed_response(client: Any) -> None:
    response = await done(client.responses.parse(model=MODEL, input="Hi", text_format=Place, extra_body=SMALL))
    assert response.output_parsed == Place(city="Rome", days=3)


async def test_a_completion_and_a_streamed_one(client: Any) -> None:
    answer = await done(client.completions.create(model=MODEL, prompt=["Hi", "Ho"], extra_body=SMALL))
    assert [choice.text for choice in answer.choices] == ["You said: Hi", "You said: Ho"]
    chunks = await all_of(client.completions.create(model=MODEL, prompt="Hi", stream=True, extra_body=SMALL))
    assert "".join(choice.text for chunk in chunks for choice in chunk.choices) == "You said: Hi"


async def test_models_are_listed(client: Any) -> None:
    listed = await all_of(client.models.list())
    names = [model.id for model in listed]
    assert "small" in names and "small:tpo" in names


async def test_errors_are_the_classes_that_the_client_knows(client: Any) -> None:
    with pytest.raises(openai.NotFoundError) as missing:
        await done(client.chat.completions.create(model="large:tpo", messages=HI))
    assert missing.value.code == "model_not_found" and "small" in str(missing.value)
    with pytest.raises(openai.BadRequestError) as stored:
        await done(client.responses.create(model=MODEL, input="Hi", previous_response_id="resp_1"))
    assert stored.value.param == "previous_response_id"
    with pytest.raises(openai.BadRequestError) as unknown:
        await done(client.chat.completions.create(model=MODEL, messages=HI, extra_body={"tpo": {"widht": 2}}))
    assert "width" in str(unknown.value)
