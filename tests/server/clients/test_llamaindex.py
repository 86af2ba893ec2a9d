"""LlamaIndex's OpenAILike, as it is."""

from __future__ import annotations

from typing import Any

import pytest

from server.clients.kit import MODEL, Served

REASON = "llama-index-llms-openai-like is not installed"
openai_like = pytest.importorskip("llama_index.llms.openai_like", reason=REASON)
core = pytest.importorskip("llama_index.core.llms", reason=REASON)
core_tools = pytest.importorskip("llama_index.core.tools", reason=REASON)
from pydantic import BaseModel  # noqa: E402


class Place(BaseModel):
    """Where to go."""

    city: str
    days: int


def weather(city: str) -> str:
    """The weather in a city."""
    return f"Sun in {city}."


@pytest.fixture
def llm(served: Served) -> Any:
    """The model, as docs/clients.md has it."""
    return openai_like.OpenAILike(
        api_base=served.url,
        api_key="none",
        model=MODEL,
        is_chat_model=True,
        is_function_calling_model=True,
        max_retries=0,
        additional_kwargs={"extra_body": {"tpo": {"width": 2, "depth": 1}}},
    )


@pytest.mark.feature("LlamaIndex", "chat")
async def test_chat(llm: Any) -> None:
    hi = [core.ChatMessage("Hi", role="user")]
    assert llm.chat(hi).message.content == "You said: Hi"
    assert (await llm.achat(hi)).message.content == "You said: Hi"


@pytest.mark.feature("LlamaIndex", "stream")
async def test_stream(llm: Any) -> None:
    hi = [core.ChatMessage("Hi", role="user")]
    assert "".join(part.delta or "" for part in llm.stream_chat(hi)) == "You said: Hi"
    assert "".join([part.delta or "" async for part in await llm.astream_chat(hi)]) == "You said: Hi"


@pytest.mark.feature("LlamaIndex", "tools")
def test_tools_over_several_steps(llm: Any) -> None:
    tool = core_tools.FunctionTool.from_defaults(weather)
    hi = core.ChatMessage("Hi", role="user")
    first = llm.chat_with_tools([tool], chat_history=[hi])
    (call,) = llm.get_tool_calls_from_response(first)
    assert (call.tool_name, call.tool_kwargs) == ("weather", {"city": "Rome"})
    result = core.ChatMessage(
        tool(**call.tool_kwargs).content, role="tool", additional_kwargs={"tool_call_id": call.tool_id}
    )
    after = llm.chat_with_tools([tool], chat_history=[hi, first.message, result])
    assert after.message.content == "You said: Sun in Rome."


@pytest.mark.feature("LlamaIndex", "structured output")
def test_structured_output(llm: Any) -> None:
    structured = llm.as_structured_llm(Place)
    assert structured.complete("Hi").raw == Place(city="Rome", days=3)
