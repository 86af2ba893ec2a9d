"""A client against the server on the embedded model: nothing between it and a real engine is made up.

The other clients speak the same protocols, and are tested against a policy that answers at once.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from server.clients import kit

openai = pytest.importorskip("openai", reason="the openai package is not installed")
from pydantic import BaseModel  # noqa: E402

HI: Any = [{"role": "user", "content": "Name a fruit."}]
SMALL = {"tpo": {"width": 2, "depth": 1}}
MODEL = "tpo"

pytestmark = pytest.mark.embedded


class Fruit(BaseModel):
    """What a structured answer holds."""

    name: str
    sweet: bool


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    """The server as `tpo serve` without any flag has it, with short answers."""
    with kit.on_thread(kit.embedded()) as address:
        yield address


def test_openai_for_python(url: str) -> None:
    client = openai.OpenAI(base_url=url, api_key="none", max_retries=0)
    answer = client.chat.completions.create(model=MODEL, messages=HI, extra_body=SMALL)
    assert answer.choices[0].message.content and answer.tpo["candidates"] == 4
    assert answer.usage.completion_tokens > answer.usage.tpo["answer_tokens"] > 0
    plain = client.chat.completions.create(model=client.models.list().data[0].id, messages=HI, max_tokens=8)
    assert plain.usage.completion_tokens <= 8 and not hasattr(plain, "tpo")


async def test_openai_for_python_async_and_streamed(url: str) -> None:
    client = openai.AsyncOpenAI(base_url=url, api_key="none", max_retries=0)
    thought, said = "", ""
    async for chunk in await client.chat.completions.create(model=MODEL, messages=HI, stream=True, extra_body=SMALL):
        for choice in chunk.choices:
            thought += getattr(choice.delta, "reasoning_content", None) or ""
            said += choice.delta.content or ""
    assert "Step 1" in thought and said


def test_structured_output(url: str) -> None:
    client = openai.OpenAI(base_url=url, api_key="none", max_retries=0)
    answer = client.chat.completions.parse(
        model=MODEL, messages=HI, response_format=Fruit, max_tokens=48, extra_body=SMALL
    )
    parsed = answer.choices[0].message.parsed
    assert isinstance(parsed, Fruit) and parsed.name


def test_a_response(url: str) -> None:
    client = openai.OpenAI(base_url=url, api_key="none", max_retries=0)
    events = list(client.responses.create(model="best-of-2", input="Name a fruit.", stream=True))
    assert events[-1].type in ("response.completed", "response.incomplete")
    assert events[-1].response.output_text


def test_a_model_that_does_not_know_tools_answers_in_words(url: str) -> None:
    tools: Any = [{"type": "function", "function": {"name": "weather", "parameters": {"type": "object"}}}]
    client = openai.OpenAI(base_url=url, api_key="none", max_retries=0)
    messages: Any = [{"role": "user", "content": "How is the weather in Rome?"}]
    answer = client.chat.completions.create(model="best-of-2", messages=messages, tools=tools)
    assert answer.choices[0].message.content and answer.choices[0].finish_reason in ("stop", "length")
