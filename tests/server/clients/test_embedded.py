"""The clients against the server on the embedded model: nothing between them and a real engine is made up."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from server.clients import kit

openai = pytest.importorskip("openai", reason="the openai package is not installed")
from pydantic import BaseModel  # noqa: E402

JS = Path(__file__).parents[1] / "js"
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
    answer = client.chat.completions.parse(model=MODEL, messages=HI, response_format=Fruit, extra_body=SMALL)
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


def test_langchain(url: str) -> None:
    langchain = pytest.importorskip("langchain_openai", reason="langchain-openai is not installed")
    chat = langchain.ChatOpenAI(base_url=url, api_key="none", model=MODEL, extra_body=SMALL, max_retries=0)
    assert chat.invoke("Name a fruit.").text
    assert "".join(chunk.text for chunk in chat.stream("Name a fruit."))


async def test_inspect(url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("inspect_ai", reason="inspect-ai is not installed")
    from inspect_ai import Task, eval_async
    from inspect_ai.dataset import Sample
    from inspect_ai.model import get_model
    from inspect_ai.scorer import includes

    monkeypatch.setenv("INSPECT_DISPLAY", "none")
    model = get_model(f"openai-api/served/{MODEL}", base_url=url, api_key="none")
    task = Task([Sample(input="Name a fruit.", target="")], scorer=includes())
    (log,) = await eval_async(task, model=model, log_dir=str(tmp_path))
    assert log.status == "success" and log.samples and log.samples[0].output.completion


def test_openai_for_javascript(url: str) -> None:
    if shutil.which("node") is None or not (JS / "node_modules" / "openai").is_dir():
        pytest.skip("node is not installed, or has no client (tests/server/js)")
    code = """
    import OpenAI from 'openai';
    const client = new OpenAI({ baseURL: process.argv[1], apiKey: 'none', maxRetries: 0 });
    const messages = [{ role: 'user', content: 'Name a fruit.' }];
    let said = '';
    for await (const chunk of await client.chat.completions.create({ model: 'best-of-2', messages, stream: true }))
      said += chunk.choices[0]?.delta?.content ?? '';
    console.log(said);
    """
    command = ["node", "--input-type=module", "-e", code, url]
    ran = subprocess.run(command, cwd=JS, capture_output=True, text=True, timeout=120)
    assert ran.returncode == 0 and ran.stdout.strip(), ran.stderr
