"""Inspect AI's openai-api provider, as it is."""

from __future__ import annotations

from pathlib import Path

import pytest

from server.clients.kit import MODEL, Served

pytest.importorskip("inspect_ai", reason="inspect-ai is not installed")
from inspect_ai import Task, eval_async
from inspect_ai.dataset import Sample
from inspect_ai.model import GenerateConfig, get_model
from inspect_ai.scorer import includes
from inspect_ai.solver import generate, use_tools
from inspect_ai.tool import Tool, tool


@tool
def weather() -> Tool:
    async def execute(city: str) -> str:
        """The weather in a city.

        Args:
            city: which city.
        """
        return f"Sun in {city}."

    return execute


@pytest.mark.parametrize("responses", [False, True], ids=["chat", "responses"])
async def test_a_task_with_a_tool(
    served: Served, tmp_path: Path, responses: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("INSPECT_DISPLAY", "none")
    model = get_model(
        f"openai-api/tpo/{MODEL}",
        base_url=served.url,
        api_key="none",
        config=GenerateConfig(extra_body={"tpo": {"width": 2, "depth": 1}}, max_retries=0),
        responses_api=responses,
        memoize=False,
    )
    task = Task(
        dataset=[Sample(input="What is the weather?", target="You said: Sun in Rome.")],
        solver=[use_tools(weather()), generate()],
        scorer=includes(),
    )
    logs = await eval_async(task, model=model, log_dir=str(tmp_path))
    assert logs[0].status == "success", logs[0].error
    assert logs[0].results is not None
    assert logs[0].results.scores[0].metrics["accuracy"].value == 1.0
