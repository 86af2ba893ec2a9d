"""The command and library `llm`, with the model that docs/clients.md configures."""

from __future__ import annotations

import importlib
import json
from pathlib import Path
from typing import Any

import pytest

from server.clients.kit import Served
from server.clients.test_docs import block

pytest.importorskip("llm", reason="llm is not installed")


@pytest.fixture
def model(served: Served, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """The model, read from llm's own folder."""
    (tmp_path / "extra-openai-models.yaml").write_text(block("llm", "yaml", served))
    monkeypatch.setenv("LLM_USER_PATH", str(tmp_path))
    monkeypatch.setenv("OPENAI_API_KEY", "none")
    return importlib.import_module("llm").get_model("small-tpo")


def weather(city: str) -> str:
    """The weather in a city."""
    return f"Sun in {city}."


@pytest.mark.feature("llm", "chat")
def test_prompt(model: Any) -> None:
    assert model.prompt("Hi", stream=False).text() == "You said: Hi"


@pytest.mark.feature("llm", "stream")
def test_stream(model: Any) -> None:
    assert "".join(model.prompt("Hi", stream=True)) == "You said: Hi"


@pytest.mark.feature("llm", "tools")
@pytest.mark.parametrize("stream", [False, True])
def test_tools_over_several_steps(model: Any, stream: bool) -> None:
    assert model.chain("Hi", tools=[weather], stream=stream).text() == "You said: Sun in Rome."


@pytest.mark.feature("llm", "structured output")
def test_structured_output(model: Any) -> None:
    schema = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
    assert json.loads(model.prompt("Hi", schema=schema, stream=False).text()) == {"city": "Rome"}
