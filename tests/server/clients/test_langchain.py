"""LangChain's ChatOpenAI, as it is."""

from __future__ import annotations

from typing import Any

import pytest

from server.clients.kit import MODEL, Served

pytest.importorskip("langchain_openai", reason="langchain-openai is not installed")
from langchain_core.messages import HumanMessage, ToolMessage
from langchain_openai import ChatOpenAI
from pydantic import BaseModel, SecretStr

# LangChain keeps its async connections for the next client of the same address, and so they need the same loop.
pytestmark = pytest.mark.asyncio(loop_scope="module")


class Place(BaseModel):
    """Where to go."""

    city: str
    days: int


def weather(city: str) -> str:
    """The weather in a city."""
    return f"Sun in {city}."


@pytest.fixture(params=[False, True], ids=["chat", "responses"])
def chat(request: pytest.FixtureRequest, served: Served) -> ChatOpenAI:
    return ChatOpenAI(
        base_url=served.url,
        api_key=SecretStr("none"),
        model=MODEL,
        max_retries=0,
        use_responses_api=request.param,
        extra_body={"tpo": {"width": 2, "depth": 1}},
    )


@pytest.mark.feature("LangChain", "chat")
async def test_invoke(chat: ChatOpenAI) -> None:
    answer = chat.invoke("Hi")
    assert answer.text == "You said: Hi"
    assert answer.usage_metadata is not None and answer.usage_metadata["total_tokens"] > 2 * 12
    assert (await chat.ainvoke("Hi")).text == "You said: Hi"


@pytest.mark.feature("LangChain", "stream")
async def test_stream(chat: ChatOpenAI) -> None:
    assert "".join(chunk.text for chunk in chat.stream("Hi")) == "You said: Hi"
    assert "".join([chunk.text async for chunk in chat.astream("Hi")]) == "You said: Hi"


@pytest.mark.feature("LangChain", "tools")
async def test_tools(chat: ChatOpenAI) -> None:
    bound = chat.bind_tools([weather])
    asked = HumanMessage("Hi")
    answer = bound.invoke([asked])
    call = answer.tool_calls[0]
    assert (call["name"], call["args"]) == ("weather", {"city": "Rome"})
    after = bound.invoke([asked, answer, ToolMessage("Sun in Rome.", tool_call_id=call["id"])])
    assert after.text == "You said: Sun in Rome."


@pytest.mark.feature("LangChain", "tools")
async def test_streamed_tools(chat: ChatOpenAI) -> None:
    whole: Any = None
    for chunk in chat.bind_tools([weather]).stream("Hi"):
        whole = chunk if whole is None else whole + chunk
    assert [(call["name"], call["args"]) for call in whole.tool_calls] == [("weather", {"city": "Rome"})]


@pytest.mark.feature("LangChain", "structured output")
@pytest.mark.parametrize("method", ["json_schema", "function_calling"])
async def test_structured_output(chat: ChatOpenAI, method: Any) -> None:
    assert chat.with_structured_output(Place, method=method).invoke("Hi") == Place(city="Rome", days=3)
