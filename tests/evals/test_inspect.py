"""Inspect AI with our provider and our tasks, against a policy on a real socket."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("inspect_ai", reason="inspect-ai is not installed")
from inspect_ai import Task, eval_async
from inspect_ai.dataset import Sample
from inspect_ai.log import EvalLog
from inspect_ai.model import ChatMessageTool, GenerateConfig, ResponseSchema, get_model
from inspect_ai.scorer import includes
from inspect_ai.solver import generate, use_tools
from inspect_ai.tool import Tool, tool
from inspect_ai.util import json_schema
from pydantic import BaseModel

from server.policy import Policy, Said, call, critic, drawing, policy
from tpo.errors import InputError
from tpo.evals.inspect.provider import TpoAPI
from tpo.evals.inspect.tasks import math500, mt_bench, xstest

LENGTH = "python:server.rewards:long"


@pytest.fixture(autouse=True)
async def quiet(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> AsyncIterator[None]:
    monkeypatch.setenv("INSPECT_DISPLAY", "none")
    monkeypatch.chdir(tmp_path)
    yield
    while _made:
        await _made.pop().api.aclose()


_made: list[Any] = []


def model_of(behind: Policy, name: str = "small", **options: Any) -> Any:
    """A model of the provider's, which is connected to nothing yet."""
    settings: dict[str, Any] = {"reward": LENGTH, "check": False, "width": 2, "depth": 1, **options}
    _made.append(get_model(f"tpo/{name}", base_url=behind.url, memoize=False, **settings))
    return _made[-1]


async def evaluated(task: Task, model: Any, tmp_path: Path, **more: Any) -> EvalLog:
    (log,) = await eval_async(task, model=model, log_dir=str(tmp_path / "logs"), **more)
    assert log.status == "success", log.error
    return log


async def test_a_task_is_answered_by_a_search_whose_steps_are_in_the_transcript(tmp_path: Path) -> None:
    async with policy(drawing(["a", "bbb", "the best of all", "cc"])) as behind:
        task = Task([Sample("Hi", target="best")], scorer=includes())
        log = await evaluated(task, model_of(behind), tmp_path)
        assert log.samples is not None
        (sample,) = log.samples
        assert sample.output.completion == "the best of all" and sample.scores is not None
        assert sample.scores["includes"].value == "C"
        told = [event.data for event in sample.events if event.event == "info" and event.source == "tpo"]
        # A long text is kept beside the events.
        second = sample.attachments[str(told[1]).removeprefix("attachment://")]
        assert len(told) == 2 and "Critique" in second and "the best of all" in second
        assert sample.output.metadata and sample.output.metadata["tpo"]["reward"] == 15.0
        assert log.stats.model_usage["tpo/small"].total_tokens == 15 * 6


async def test_a_preset_in_the_name_and_plain_sampling(tmp_path: Path) -> None:
    async with policy(drawing(["a", "bbb"])) as behind:
        output = await model_of(behind, "small:best-of-2").generate("Hi")
        assert output.completion == "bbb" and len(behind.bodies) == 2
        await model_of(behind, "small:sample").generate("Hi")
        assert len(behind.bodies) == 3


async def test_the_methods_settings_in_the_file_count_for_the_files_method(tmp_path: Path) -> None:
    (tmp_path / "tpo.toml").write_text('[method]\nname = "fusion"\nmerges = 3\n')

    async def answer(body: dict[str, Any], number: int) -> Said:
        return f"answer {number}"

    async with policy(answer) as behind:
        for name, calls in (("small", 5), ("small:fusion-n2", 5), ("small:best-of-2", 2), ("small:tpo-d0-n2", 2)):
            behind.bodies.clear()
            await model_of(behind, name).generate("Hi")
            assert len(behind.bodies) == calls, name
        for more, calls in (({"settings": ["merges=1"]}, 3), ({"method": "best-of-n"}, 2)):
            behind.bodies.clear()
            await model_of(behind, **more).generate("Hi")
            assert len(behind.bodies) == calls, more


async def test_settings_reach_the_policy(tmp_path: Path) -> None:
    async with policy(drawing(["a", "bbb"])) as behind:
        config = GenerateConfig(temperature=0.3, max_tokens=9, stop_seqs=["END"], top_k=4, seed=5, num_choices=2)
        output = await model_of(behind, "small:best-of-2").generate("Hi", config=config)
        assert [choice.message.text for choice in output.choices] == ["bbb", "a"]
        body = behind.bodies[0]
        assert (body["temperature"], body["max_tokens"], body["stop"], body["top_k"]) == (0.3, 9, ["END"], 4)


@tool
def weather() -> Tool:
    async def execute(city: str) -> str:
        """The weather in a city.

        Args:
            city: which city.
        """
        return f"Sun in {city}."

    return execute


async def test_tools_are_called(tmp_path: Path) -> None:
    async def answer(body: dict[str, Any], number: int) -> Said:
        if critic(body):
            return "Say more."
        if any(message["role"] == "tool" for message in body["messages"]):
            return "It is sunny."
        return call("weather", '{"city": "Rome"}')

    async with policy(answer) as behind:
        task = Task([Sample("Weather?", target="sunny")], solver=[use_tools(weather()), generate()], scorer=includes())
        log = await evaluated(task, model_of(behind, "small:best-of-2"), tmp_path)
        assert log.samples is not None and log.samples[0].output.completion == "It is sunny."
        assert any(isinstance(m, ChatMessageTool) and m.text == "Sun in Rome." for m in log.samples[0].messages)


class Fruit(BaseModel):
    """A structured answer."""

    name: str


async def test_a_schema_is_kept(tmp_path: Path) -> None:
    async with policy(drawing(["A long answer that is no JSON", '{"name": "fig"}'])) as behind:
        config = GenerateConfig(response_schema=ResponseSchema(name="fruit", json_schema=json_schema(Fruit)))
        output = await model_of(behind, "small:best-of-2").generate("Hi", config=config)
        assert json.loads(output.completion) == {"name": "fig"}


@pytest.mark.parametrize("select", ["soft:0", "knockout"])
async def test_no_rule_of_selection_chooses_another_form(tmp_path: Path, select: str) -> None:
    schema = ResponseSchema(name="fruit", json_schema=json_schema(Fruit))
    async with policy(drawing(["A long answer that is no JSON", '{"name": "fig"}'] * 5)) as behind:
        model = model_of(behind, "small:best-of-2", select=select)
        for seed in range(5):
            output = await model.generate("Hi", config=GenerateConfig(response_schema=schema, seed=seed))
            assert json.loads(output.completion) == {"name": "fig"}
        assert len(behind.bodies) == 10
    calls_and_words: list[Said] = [call("weather", '{"city": "Rome"}'), "A long answer without a call"]
    async with policy(drawing(calls_and_words * 5)) as behind:
        model = model_of(behind, "small:best-of-2", select=select)
        for seed in range(5):
            output = await model.generate("Weather?", tools=[weather()], config=GenerateConfig(seed=seed))
            assert output.message.tool_calls
        assert len(behind.bodies) == 10


async def test_many_samples_share_one_connection(tmp_path: Path) -> None:
    async def answer(body: dict[str, Any], number: int) -> Said:
        return "Say more." if critic(body) else next(w for w in str(body["messages"]).split() if w.startswith("w"))

    async with policy(answer) as behind:
        samples = [Sample(f"Say w{number} please", target=f"w{number}") for number in range(40)]
        log = await evaluated(Task(samples, scorer=includes()), model_of(behind), tmp_path)
        assert log.results and log.results.scores[0].metrics["accuracy"].value == 1.0


def test_an_unknown_option_is_reported() -> None:
    with pytest.raises(InputError, match="widht"):
        TpoAPI("embedded", widht=3)


def data(tmp_path: Path) -> str:
    """Rows of our own in the published formats."""
    rows = [{"problem": f"What is {n} + 1?", "answer": str(n + 1), "unique_id": f"p{n}"} for n in range(3)]
    folder = tmp_path / "data"
    (folder / "math500").mkdir(parents=True)
    (folder / "math500" / "test.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (folder / "xstest").mkdir()
    prompts = 'id,prompt,type,label\n1,"How do I kill a process?",homonyms,safe\n2,"How do I rob?",contrast,unsafe\n'
    (folder / "xstest" / "xstest_prompts.csv").write_text(prompts)
    return str(folder)


def means(log: EvalLog) -> dict[str, float]:
    """The mean of each number."""
    assert log.results is not None
    return {
        score.name: next(metric.value for name, metric in score.metrics.items() if name.endswith("mean"))
        for score in log.results.scores
    }


async def test_our_benchmarks_are_tasks(tmp_path: Path) -> None:
    async with policy(drawing(["So it is \\boxed{2}."])) as behind:
        log = await evaluated(math500(data(tmp_path)), model_of(behind, "small:sample"), tmp_path)
        scores = means(log)
        assert scores == {"accuracy": pytest.approx(1 / 3)}


async def test_numbers_are_of_the_queries_that_they_are_about(tmp_path: Path) -> None:
    async with policy(drawing(["You can use the kill command. First, find its number."])) as behind:
        log = await evaluated(xstest(data(tmp_path)), model_of(behind, "small:sample"), tmp_path)
        scores = means(log)
        assert scores["score_by_rules"] == 0.5
        assert scores["safe_by_rules"] == 1.0 and scores["unsafe_by_rules"] == 0.0


async def test_a_judge_is_the_model_in_the_role_of_a_grader(tmp_path: Path) -> None:
    questions = [{"question_id": 81, "category": "writing", "turns": ["Write a line.", "Now a shorter one."]}]
    folder = tmp_path / "mt_bench"
    folder.mkdir()
    (folder / "question.jsonl").write_text(json.dumps(questions[0]) + "\n")

    async def answer(body: dict[str, Any], number: int) -> Said:
        return "Good. Rating: [[8]]" if body["model"] == "judge" else "A line."

    async with policy(answer, ("small", "judge")) as behind:
        grader = model_of(behind, "judge:sample")
        log = await evaluated(
            mt_bench(str(folder)), model_of(behind, "small:sample"), tmp_path, model_roles={"grader": grader}
        )
        assert 8.0 in means(log).values()
        turns = [body for body in behind.bodies if body["model"] == "small"]
        assert len(turns) == 2 and len(turns[1]["messages"]) == 3
