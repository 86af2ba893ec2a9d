"""Anthropic's client for Python, as it is."""

from __future__ import annotations

from typing import Any

import pytest

from server.clients.kit import MODEL, Served

anthropic = pytest.importorskip("anthropic", reason="the anthropic package is not installed")
from pydantic import BaseModel  # noqa: E402

HI: Any = [{"role": "user", "content": "Hi"}]
SMALL = {"tpo": {"width": 2, "depth": 1}}
SCHEMA = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
TOOLS: Any = [{"name": "weather", "description": "The weather.", "input_schema": SCHEMA}]


class Place(BaseModel):
    """What a structured answer holds."""

    city: str
    days: int


@pytest.fixture
def client(served: Served) -> Any:
    """A client of the server."""
    return anthropic.Anthropic(base_url=served.url.removesuffix("/v1"), api_key="none", max_retries=0)


@pytest.mark.feature("Anthropic, Python", "chat")
@pytest.mark.parametrize("model", [MODEL, "small"])
def test_a_message(client: Any, model: str) -> None:
    more = SMALL if model == MODEL else {}
    message = client.messages.create(model=model, messages=HI, max_tokens=32, system="Be brief.", extra_body=more)
    assert [block.type for block in message.content] == ["text"]
    assert message.content[0].text == "You said: Hi" and message.stop_reason == "end_turn"
    assert message.usage.input_tokens + message.usage.output_tokens >= 12


@pytest.mark.feature("Anthropic, Python", "stream")
@pytest.mark.parametrize("model", [MODEL, "small"])
def test_a_streamed_message(client: Any, model: str) -> None:
    more = SMALL if model == MODEL else {}
    with client.messages.stream(model=model, messages=HI, max_tokens=32, extra_body=more) as stream:
        assert "".join(stream.text_stream) == "You said: Hi"
        assert stream.get_final_message().stop_reason == "end_turn"


def test_thinking_shows_the_search(client: Any) -> None:
    thinking: Any = {"type": "enabled", "budget_tokens": 1024}
    options = {"model": MODEL, "messages": HI, "max_tokens": 2048, "thinking": thinking, "extra_body": SMALL}
    whole = client.messages.create(**options)
    with client.messages.stream(**options) as stream:
        streamed = stream.get_final_message()
    for message in (whole, streamed):
        assert [block.type for block in message.content] == ["thinking", "text"]
        assert "Step 0. Writing 2 answers" in message.content[0].thinking
    again = [*HI, {"role": "assistant", "content": whole.content}, {"role": "user", "content": "More"}]
    assert client.messages.create(**{**options, "messages": again}).content[-1].text == "You said: More"


@pytest.mark.feature("Anthropic, Python", "tools")
@pytest.mark.parametrize("model", [MODEL, "small"])
@pytest.mark.parametrize("stream", [False, True])
def test_tools_over_several_steps(client: Any, model: str, stream: bool) -> None:
    options = {"model": model, "max_tokens": 64, "tools": TOOLS, "extra_body": SMALL if model == MODEL else {}}

    def ask(messages: Any) -> Any:
        if not stream:
            return client.messages.create(messages=messages, **options)
        with client.messages.stream(messages=messages, **options) as events:
            return events.get_final_message()

    first = ask(HI)
    call = first.content[-1]
    assert first.stop_reason == "tool_use" and (call.name, call.input) == ("weather", {"city": "Rome"})
    result = {"type": "tool_result", "tool_use_id": call.id, "content": "Sun."}
    turns = [*HI, {"role": "assistant", "content": first.content}, {"role": "user", "content": [result]}]
    assert ask(turns).content[-1].text == "You said: Sun."


@pytest.mark.feature("Anthropic, Python", "structured output")
@pytest.mark.parametrize("model", [MODEL, "small"])
def test_a_parsed_message(client: Any, model: str) -> None:
    more = SMALL if model == MODEL else {}
    message = client.messages.parse(model=model, messages=HI, max_tokens=64, output_format=Place, extra_body=more)
    assert message.parsed_output == Place(city="Rome", days=3)


def test_tokens_are_counted_by_the_models_server(client: Any) -> None:
    assert client.messages.count_tokens(model=MODEL, messages=HI).input_tokens == 7


def test_errors_are_the_classes_that_the_client_knows(client: Any) -> None:
    with pytest.raises(anthropic.NotFoundError) as missing:
        client.messages.create(model="large:tpo", messages=HI, max_tokens=5)
    assert missing.value.body["error"]["type"] == "not_found_error"
    with pytest.raises(anthropic.BadRequestError, match="width"):
        client.messages.create(model=MODEL, messages=HI, max_tokens=5, extra_body={"tpo": {"widht": 2}})
