"""Inspect AI's openai-api provider, as it is."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from server.clients.kit import MODEL, Served

pytest.importorskip("inspect_ai", reason="inspect-ai is not installed")
from inspect_ai import Task, eval_async
from inspect_ai.dataset import Sample
from inspect_ai.model import GenerateConfig, Model, ResponseSchema, get_model
from inspect_ai.scorer import includes
from inspect_ai.solver import generate, use_tools
from inspect_ai.tool import Tool, tool
from inspect_ai.util import json_schema
from pydantic import BaseModel


class Place(BaseModel):
    """Where to go."""

    city: str
    days: int


@tool
def weather() -> Tool:
    async def execute(city: str) -> str:
        """The weather in a city.

        Args:
            city: which city.
        """
        return f"Sun in {city}."

    return execute


@pytest.fixture(params=["chat", "responses"])
def protocol(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setenv("INSPECT_DISPLAY", "none")
    return str(request.param)


def model_of(served: Served, protocol: str, stream: bool = False, **config: Any) -> Model:
    """The model over a protocol."""
    return get_model(
        f"openai-api/tpo/{MODEL}",
        base_url=served.url,
        api_key="none",
        config=GenerateConfig(extra_body={"tpo": {"width": 2, "depth": 1}}, max_retries=0, **config),
        responses_api=protocol == "responses",
        stream=stream,
        memoize=False,
    )


@pytest.mark.feature("Inspect", "chat")
async def test_generate(served: Served, protocol: str) -> None:
    assert (await model_of(served, protocol).generate("Hi")).completion == "You said: Hi"


@pytest.mark.feature("Inspect", "stream")
async def test_stream(served: Served, protocol: str) -> None:
    assert (await model_of(served, protocol, stream=True).generate("Hi")).completion == "You said: Hi"


@pytest.mark.feature("Inspect", "structured output")
async def test_structured_output(served: Served, protocol: str) -> None:
    schema = ResponseSchema(name="place", json_schema=json_schema(Place))
    answer = await model_of(served, protocol, response_schema=schema).generate("Hi")
    assert json.loads(answer.completion) == {"city": "Rome", "days": 3}


@pytest.mark.feature("Inspect", "tools")
async def test_a_task_with_a_tool(served: Served, protocol: str, tmp_path: Path) -> None:
    task = Task(
        dataset=[Sample(input="What is the weather?", target="You said: Sun in Rome.")],
        solver=[use_tools(weather()), generate()],
        scorer=includes(),
    )
    logs = await eval_async(task, model=model_of(served, protocol), log_dir=str(tmp_path))
    assert logs[0].status == "success", logs[0].error
    assert logs[0].results is not None
    assert logs[0].results.scores[0].metrics["accuracy"].value == 1.0
