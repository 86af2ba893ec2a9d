"""instructor, as it is: its own part is structured output, and the rest is the client's that it wraps."""

from __future__ import annotations

import json
from typing import Any

import pytest

from server.clients.kit import MODEL, Served

instructor = pytest.importorskip("instructor", reason="instructor is not installed")
openai = pytest.importorskip("openai", reason="the openai package is not installed")
from pydantic import BaseModel  # noqa: E402

HI: Any = [{"role": "user", "content": "Hi"}]
SMALL = {"tpo": {"width": 2, "depth": 1}}
SCHEMA = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
TOOLS: Any = [{"type": "function", "function": {"name": "weather", "parameters": SCHEMA}}]


class Place(BaseModel):
    """Where to go."""

    city: str
    days: int


def wrapped(served: Served, mode: str = "TOOLS") -> Any:
    """OpenAI's client in instructor's."""
    client = openai.OpenAI(base_url=served.url, api_key="none", max_retries=0)
    return instructor.from_openai(client, mode=instructor.Mode[mode])


def ask(client: Any, messages: Any = HI, **more: Any) -> Any:
    """Ask for what no model of Pydantic's describes."""
    options = {"model": MODEL, "messages": messages, "extra_body": SMALL, **more}
    return client.chat.completions.create(response_model=None, **options)


@pytest.mark.feature("instructor", "chat")
def test_chat(served: Served) -> None:
    assert ask(wrapped(served)).choices[0].message.content == "You said: Hi"


@pytest.mark.feature("instructor", "tools")
def test_tools_over_several_steps(served: Served) -> None:
    client = wrapped(served)
    message = ask(client, tools=TOOLS).choices[0].message
    (call,) = message.tool_calls
    assert json.loads(call.function.arguments) == {"city": "Rome"}
    turns = [*HI, message.model_dump(), {"role": "tool", "tool_call_id": call.id, "content": "Sun."}]
    assert ask(client, turns, tools=TOOLS).choices[0].message.content == "You said: Sun."


@pytest.mark.feature("instructor", "structured output")
@pytest.mark.parametrize("mode", ["TOOLS", "JSON_SCHEMA"])
def test_structured_output(served: Served, mode: str) -> None:
    create = wrapped(served, mode).chat.completions.create
    place = create(model=MODEL, messages=HI, response_model=Place, max_retries=0, extra_body=SMALL)
    assert (place.city, place.days) == ("Rome", 3)


@pytest.mark.feature("instructor", "stream")
@pytest.mark.parametrize("mode", ["TOOLS", "JSON_SCHEMA"])
def test_streamed_structured_output(served: Served, mode: str) -> None:
    create = wrapped(served, mode).chat.completions.create_partial
    *_, last = create(model=MODEL, messages=HI, response_model=Place, max_retries=0, extra_body=SMALL)
    assert (last.city, last.days) == ("Rome", 3)
