"""pydantic-ai's agents, as they are, over each protocol."""

from __future__ import annotations

from typing import Any

import pytest

from server.clients.kit import MODEL, Served

REASON = "pydantic-ai is not installed"
ai = pytest.importorskip("pydantic_ai", reason=REASON)
openai = pytest.importorskip("pydantic_ai.models.openai", reason=REASON)
anthropic = pytest.importorskip("pydantic_ai.models.anthropic", reason=REASON)
anthropic_client = pytest.importorskip("anthropic", reason=REASON)
openai_provider = pytest.importorskip("pydantic_ai.providers.openai", reason=REASON)
anthropic_provider = pytest.importorskip("pydantic_ai.providers.anthropic", reason=REASON)
from pydantic import BaseModel  # noqa: E402

SMALL = {"extra_body": {"tpo": {"width": 2, "depth": 1}}}


class Place(BaseModel):
    """Where to go."""

    city: str
    days: int


def weather(city: str) -> str:
    """The weather in a city."""
    return f"Sun in {city}."


@pytest.fixture(params=["chat", "responses", "messages"])
def model(request: pytest.FixtureRequest, served: Served) -> Any:
    """The model over a protocol."""
    if request.param == "messages":
        root = served.url.removesuffix("/v1")
        client = anthropic_client.AsyncAnthropic(base_url=root, api_key="none", max_retries=0)
        provider = anthropic_provider.AnthropicProvider(anthropic_client=client)
        return anthropic.AnthropicModel(MODEL, provider=provider)
    kind = openai.OpenAIChatModel if request.param == "chat" else openai.OpenAIResponsesModel
    return kind(MODEL, provider=openai_provider.OpenAIProvider(base_url=served.url, api_key="none"))


@pytest.mark.feature("pydantic-ai", "chat")
async def test_run(model: Any) -> None:
    result = await ai.Agent(model, model_settings=SMALL, instructions="Be brief.").run("Hi")
    assert result.output == "You said: Hi"
    assert result.usage.total_tokens > 2 * 12


@pytest.mark.feature("pydantic-ai", "stream")
async def test_stream(model: Any) -> None:
    async with ai.Agent(model, model_settings=SMALL).run_stream("Hi") as result:
        assert "".join([text async for text in result.stream_text(delta=True)]) == "You said: Hi"


@pytest.mark.feature("pydantic-ai", "tools")
async def test_tools_over_several_steps(model: Any) -> None:
    result = await ai.Agent(model, model_settings=SMALL, tools=[weather]).run("Hi")
    assert result.output == "You said: Sun in Rome."
    assert result.usage.requests == 2


@pytest.mark.feature("pydantic-ai", "structured output")
@pytest.mark.parametrize("output", ["NativeOutput", "ToolOutput"])
async def test_structured_output(model: Any, output: str) -> None:
    if output == "NativeOutput" and isinstance(model, anthropic.AnthropicModel):
        pytest.skip("pydantic-ai sends a schema only to models that it knows as Anthropic's")
    result = await ai.Agent(model, model_settings=SMALL, output_type=getattr(ai, output)(Place)).run("Hi")
    assert result.output == Place(city="Rome", days=3)
