"""Benchmarks of others: by entry points, `python:MODULE:NAME`, and a user's own data without any code."""

from __future__ import annotations

import json
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any

import pytest

from cli.test_align import tpo
from evals.servers import counting
from tpo.errors import InputError
from tpo.evals.benchmarks import BENCHMARKS, Benchmark, Column, Grade, Graders, Response, Row, find_benchmark
from tpo.evals.benchmarks.known import GROUP
from tpo.evals.benchmarks.xstest import XSTest
from tpo.evals.data import Source
from tpo.evals.evaluate import Wanted, evaluate
from tpo.evals.evaluation import read_graded

OURS = """
from tpo.evals.benchmarks import Benchmark, Column, Grade, Row


class Shout(Benchmark):
    name = "shout"
    columns = (Column("loud", "Shout", "%", "answers in capital letters"),)

    def rows(self, source, limit=None, seed=0):
        return [Row(f"s{n}", [{"role": "user", "content": f"Shout {n}!"}]) for n in range(3)][:limit]

    async def grade(self, row, response, graders):
        return Grade({"loud": float(response.text.isupper())})


def nothing():
    return 3


class Nameless(Shout):
    name = "../etc"


def broken():
    raise KeyError("no such thing")
"""


class Short(Benchmark):
    """Whether an answer is short."""

    name = "short"
    columns = (Column("short", "Short", "%", "short answers"),)

    def rows(self, source: Source, limit: int | None = None, seed: int = 0) -> list[Row]:
        """One query."""
        return [Row("one", [{"role": "user", "content": "Be short."}])]

    async def grade(self, row: Row, response: Response, graders: Graders) -> Grade:
        """By length."""
        return Grade({"short": float(len(response.text) < 10)})


@pytest.fixture
def theirs(monkeypatch: pytest.MonkeyPatch) -> None:
    points = [
        EntryPoint("short", f"{__name__}:Short", GROUP),
        EntryPoint("lost", "nowhere_at_all:Thing", GROUP),
        EntryPoint("xstest", f"{__name__}:Short", GROUP),
    ]
    monkeypatch.setattr("tpo.plugins.entry_points", lambda group: points if group == GROUP else [])


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    (tmp_path / "shouting.py").write_text(OURS)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(__import__("sys").modules, "shouting", raising=False)
    return "shouting"


def test_every_benchmark_of_ours_has_the_name_that_it_is_registered_by() -> None:
    assert {name: find_benchmark(name).name for name in BENCHMARKS} == {name: name for name in BENCHMARKS}


def test_benchmarks_of_installed_packages_are_found_by_their_entry_points(theirs: None) -> None:
    assert isinstance(find_benchmark("short"), Short)
    assert isinstance(find_benchmark("xstest"), XSTest)  # a package cannot replace ours
    with pytest.raises(InputError, match=r"lost \(nowhere_at_all:Thing\) fails to import: ModuleNotFoundError"):
        find_benchmark("lost")
    with pytest.raises(InputError, match=r"choose one of alpaca_eval.*short, lost.*--data shart=FILE.*Did you mean"):
        find_benchmark("shart")


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("nothing", "is of type int: a subclass of"),
        ("Nameless", "has the name '../etc'"),
        ("broken", "cannot be made: KeyError"),
        ("Shot", "has no 'Shot' (near: Shout"),
    ],
)
def test_what_is_no_benchmark_is_refused(module: str, name: str, words: str) -> None:
    with pytest.raises(InputError) as raised:
        find_benchmark(f"python:{module}:{name}")
    assert words in str(raised.value)
    with pytest.raises(InputError, match=r"write python:module:class, such as python:my\.file:MyBenchmark"):
        find_benchmark("python:my/file.py")


def policy(text: str, mark: str) -> str:
    return "6 times 7 is 42.\nAnswer: 42" if "6 times 7" in text else "WHAT IS IT?"


def judge(text: str, mark: str) -> str:
    return "Right.\nGrade: 9" if "<reference>\n42" in text else "Hm.\nGrade: 4"


def length(conversations: list[Any]) -> list[float]:
    return [float(len(messages[-1]["content"])) for messages in conversations]


async def test_a_benchmark_by_its_python_path_is_evaluated_like_ours(module: str, tmp_path: Path) -> None:
    async with counting(policy) as server:
        wanted = Wanted(tasks=[f"python:{module}:Shout"], methods=["sample"], out=tmp_path / "out")
        found = await evaluate(wanted, {"policy": server.url, "max_tokens": 16})
        assert found.cell("shout", "sample").numbers["loud"].value == 100
        with pytest.raises(InputError, match="is named twice"):
            await evaluate(
                Wanted(tasks=[f"python:{module}:Shout"] * 2, methods=["sample"], out=tmp_path / "2"),
                {"policy": server.url},
            )


async def test_a_users_own_data_is_graded_by_reward_verifier_and_judge(tmp_path: Path) -> None:
    file = tmp_path / "questions.csv"
    file.write_text(
        'question,answer\n"What is 6 times 7?",42\n"What is a platypus?",\n"What is the capital of France?",Paris\n'
    )
    lines = [
        ("What is 6 times 7?", "42"),
        ("What is a platypus?", "what is it?"),
        ("What is the capital of France?", "?"),
    ]
    keys = tmp_path / "keys.jsonl"
    keys.write_text("".join(f"{json.dumps({'question': one, 'answer': two})}\n" for one, two in lines))
    async with counting(policy) as server, counting(judge, "judge") as judging:
        wanted = Wanted(
            tasks=["mine"],
            methods=["sample"],
            out=tmp_path / "out",
            data=[f"mine={file}"],
            judge=judging.url,
            held_out=f"verifier:exact?file={keys}",
        )
        found = await evaluate(wanted, {"policy": server.url, "reward": length, "check": False, "max_tokens": 32})
        bare = await evaluate(
            Wanted(tasks=["mine"], methods=["sample"], out=tmp_path / "bare", data=[f"mine={file}"]),
            {"policy": server.url, "reward": "none", "check": False, "max_tokens": 32},
        )
    numbers = found.cell("mine", "sample").numbers
    answers = ["6 times 7 is 42.\nAnswer: 42", "WHAT IS IT?", "WHAT IS IT?"]
    assert numbers["reward"].value == pytest.approx(sum(map(len, answers)) / 3)
    assert numbers["held_out"].value == pytest.approx(2 / 3)
    assert numbers["grade"].value == pytest.approx((9 + 4 + 4) / 3)
    assert numbers["accuracy"].value == 50  # of two queries: the third has no answer in the data
    graded = read_graded(tmp_path / "out", "mine", "sample")
    assert "the final answer is right" in [one.grade.details.get("why") for one in graded.queries]
    missing = bare.cell("mine", "sample").missing
    assert "--reward" in missing["reward"]
    assert "--held-out" in missing["held_out"]
    assert "--judge" in missing["grade"]


async def test_own_data_on_the_command_line(tmp_path: Path) -> None:
    (tmp_path / "questions.csv").write_text('question,answer\n"What is 6 times 7?",42\n')
    async with counting(policy) as server, counting(judge, "judge") as judging:
        common = ("--policy", server.url, "--method", "sample", "--quiet", "--out", "out")
        mine = ("eval", "mine", "--data", "mine=questions.csv", "--judge", judging.url, "--held-out", "surface")
        ran = await tpo(*mine, *common, "--json", cwd=tmp_path)
        assert (ran.code, ran.err) == (0, "")
        (cell,) = json.loads(ran.out)["cells"]
        assert {name: cell["numbers"][name]["value"] for name in ("grade", "accuracy")} == {"grade": 9, "accuracy": 100}
        unknown = await tpo("eval", "mine", *common, cwd=tmp_path)
    assert (unknown.code, unknown.out) == (2, "")
    assert "--data mine=FILE" in unknown.err


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("a,b\n1,2\n", "no column known to hold a query"),
        ("question\n", "has no rows"),
        ('{"question": 3}\n', "line 1"),
        ('{"question": "Q?", "answer": {"a": 1}}\n', "is no text, number or list"),
    ],
)
def test_own_data_that_cannot_be_used_is_refused(tmp_path: Path, text: str, words: str) -> None:
    file = tmp_path / ("own.jsonl" if text[0] == "{" else "own.csv")
    file.write_text(text)
    source = Source([f"mine={file}"])
    with pytest.raises(InputError) as raised:
        find_benchmark("mine", source).rows(source)
    assert words in str(raised.value)


def test_own_data_that_is_not_there_is_not_looked_for_on_the_hub() -> None:
    source = Source(["mine=some/where"])
    with pytest.raises(InputError, match="some/where is not there"):
        find_benchmark("mine", source).rows(source)


async def test_the_example_in_the_documentation_is_a_benchmark(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = (Path(__file__).parents[2] / "docs" / "evaluation.md").read_text()
    (tmp_path / "my_brief_module.py").write_text(text.partition("```python\n")[2].partition("```")[0])
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    benchmark = find_benchmark("python:my_brief_module:Brief")
    (row,) = benchmark.rows(Source())
    assert (await benchmark.grade(row, Response("Light scatters."), Graders())).values == {"brief": 1.0}
    assert (await benchmark.grade(row, Response("so " * 51), Graders())).values == {"brief": 0.0}
