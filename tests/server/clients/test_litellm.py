"""litellm as a client, as it is, over the protocols that it has for other people's servers."""

from __future__ import annotations

import json
from typing import Any

import pytest

from server.clients.kit import MODEL, Served

litellm = pytest.importorskip("litellm", reason="litellm is not installed")
from pydantic import BaseModel  # noqa: E402

HI: Any = [{"role": "user", "content": "Hi"}]
SCHEMA = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
TOOLS: Any = [{"type": "function", "function": {"name": "weather", "parameters": SCHEMA}}]


class Place(BaseModel):
    """Where to go."""

    city: str
    days: int


@pytest.fixture(params=["openai", "anthropic"])
def options(request: pytest.FixtureRequest, served: Served) -> dict[str, Any]:
    """What each call has, with the protocol as the model's prefix."""
    root = served.url if request.param == "openai" else served.url.removesuffix("/v1")
    headers = {"x-tpo-width": "2", "x-tpo-depth": "1"}
    model = f"{request.param}/{MODEL}"
    return {"model": model, "api_base": root, "api_key": "none", "extra_headers": headers, "num_retries": 0}


@pytest.mark.feature("litellm", "chat")
async def test_completion(options: dict[str, Any]) -> None:
    answer = await litellm.acompletion(messages=HI, **options)
    assert answer.choices[0].message.content == "You said: Hi"
    assert answer.usage.total_tokens > 2 * 12


@pytest.mark.feature("litellm", "stream")
async def test_stream(options: dict[str, Any]) -> None:
    chunks = [chunk async for chunk in await litellm.acompletion(messages=HI, stream=True, **options)]
    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks) == "You said: Hi"


@pytest.mark.feature("litellm", "tools")
async def test_tools_over_several_steps(options: dict[str, Any]) -> None:
    message = (await litellm.acompletion(messages=HI, tools=TOOLS, **options)).choices[0].message
    (call,) = message.tool_calls
    assert (call.function.name, json.loads(call.function.arguments)) == ("weather", {"city": "Rome"})
    turns = [*HI, message, {"role": "tool", "tool_call_id": call.id, "content": "Sun."}]
    after = await litellm.acompletion(messages=turns, tools=TOOLS, **options)
    assert after.choices[0].message.content == "You said: Sun."


@pytest.mark.feature("litellm", "structured output")
async def test_structured_output(options: dict[str, Any]) -> None:
    answer = await litellm.acompletion(messages=HI, response_format=Place, **options)
    assert Place.model_validate_json(answer.choices[0].message.content) == Place(city="Rome", days=3)
