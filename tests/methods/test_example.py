"""examples/merge.py, a method of somebody else's, in every form of tpo."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

from cli.test_align import answering, tpo
from cli.test_run import data, whole
from evals.servers import counting
from evals.test_evaluate import data as benchmarks
from evals.test_evaluate import options, policy
from fakes import FakeModel, FakeReward
from models.server import Received, serving
from server.conftest import Serve, serve
from tpo import align_sync, replay
from tpo.errors import InputError
from tpo.evals.evaluate import Wanted, evaluate
from tpo.methods import register, registry

__all__ = ["benchmarks", "serve"]  # fixtures

EXAMPLES = Path(__file__).parents[2] / "examples"
MERGE = ("--method", "python:merge:merge", "--set", "best=3", "--width", "3", "--depth", "1", "--seed", "1")
PYTHON: dict[str, Any] = {"PYTHONPATH": os.pathsep.join([str(EXAMPLES), *filter(None, [os.environ.get("PYTHONPATH")])])}


@pytest.fixture
def merge(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    monkeypatch.syspath_prepend(str(EXAMPLES))
    yield import_module("merge").merge
    sys.modules.pop("merge", None)


def drafts_and_merges() -> FakeModel:
    count = 0

    def answer(request: Any, index: int) -> str:
        nonlocal count
        count += 1
        asked = request.messages[-1]["content"]
        return (
            f"<improved_answer>merged {asked.count('Draft ')}</improved_answer>" if "Draft 1:" in asked else f"d{count}"
        )

    return FakeModel(answer)


def test_the_function_itself_with_a_setting(merge: Any, tmp_path: Path) -> None:
    trace = tmp_path / "trace.jsonl"
    options: Any = {
        "policy": drafts_and_merges(),
        "reward": FakeReward(lambda text: float(len(text))),
        "check": False,
        "width": 3,
        "depth": 2,
    }
    result = align_sync("How?", method=merge, settings={"best": 3}, trace=trace, **options)
    assert (result.answer, result.method, result.stop) == ("merged 3", "python:merge:merge", "converged")
    assert replay(trace).answer == result.answer
    plan = json.loads(trace.read_text().splitlines()[0])["plan"]
    assert plan["method_settings"] == {"best": 3}
    assert plan["method_code"]
    with pytest.raises(InputError, match=r"no setting 'bets'.*Did you mean best"):
        align_sync("How?", method=merge, settings={"bets": 3}, **options)


async def test_align_and_replay(tmp_path: Path) -> None:
    async with serving(answering) as server:
        ran = await tpo("align", "How?", "--policy", server.url, *MERGE, "--trace", "t.jsonl", cwd=tmp_path, **PYTHON)
        wrong = await tpo("align", "How?", "--policy", server.url, *MERGE, "--set", "bets=1", cwd=tmp_path, **PYTHON)
    assert ran.code == 0, ran.err
    assert '"name":"merge","role":"editor"' in (tmp_path / "t.jsonl").read_text()
    assert wrong.code == 2
    assert "Did you mean best" in wrong.err
    again = await tpo("replay", "t.jsonl", cwd=tmp_path)
    assert (again.code, again.out.strip()) == (0, ran.out.strip())


async def test_a_run_is_killed_and_goes_on_and_notices_another_setting(tmp_path: Path) -> None:
    asked = asyncio.Event()
    count = 0

    def watching(request: Received) -> bytes:
        nonlocal count
        count += b"messages" in request.body
        if count == 7:
            asked.set()
        return whole(request) if b"<improved_answer>" not in request.body else merged(request)

    def merged(request: Received) -> bytes:
        return whole(request).replace(b"Answer ", b"Better ")

    async with serving(watching) as server:
        command = ("run", data(tmp_path), "--out", "out", "--policy", server.url, *MERGE, "--concurrency", "1")
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "tpo", *command, "--quiet"), cwd=tmp_path, env={**os.environ, **PYTHON}
        )
        await asked.wait()
        process.kill()
        await process.wait()
        ran = await tpo(*command, "--quiet", "--json", cwd=tmp_path, **PYTHON)
        assert (ran.code, ran.err) == (0, "")
        assert json.loads(ran.out)["done"] == 4
        other = await tpo(*command, "--set", "best=2", "--quiet", cwd=tmp_path, **PYTHON)
        assert other.code == 2
        assert "method_settings" in other.err
        show = await tpo("show", "out", "q0", "--prompts", cwd=tmp_path)
        assert show.code == 0, show.err
        assert "Merge the best parts" in show.out
        report = await tpo("report", "out", "--out", "report", cwd=tmp_path)
        assert report.code == 0, report.err
    # Nothing is drawn twice but what was in flight at the kill.
    assert count <= 4 * 4 + 1


async def test_tpo_toml_names_a_method_and_its_settings(tmp_path: Path) -> None:
    (tmp_path / "tpo.toml").write_text('width = 2\ndepth = 1\n\n[method]\nname = "python:merge:merge"\nbest = 3\n')
    async with serving(answering) as server:
        command = ("align", "How?", "--policy", server.url, "--trace", "t.jsonl", "--seed", "1")
        ran = await tpo(*command, cwd=tmp_path, **PYTHON)
    assert ran.code == 0, ran.err
    assert json.loads((tmp_path / "t.jsonl").read_text().splitlines()[0])["plan"]["method_settings"] == {"best": 3}


async def drafted(body: dict[str, Any], index: int) -> str:
    asked = str(body["messages"][-1]["content"])
    return "<improved_answer>merged</improved_answer>" if "Draft 1:" in asked else f"d{index}"


async def test_a_server_offers_a_registered_method_and_imports_nothing_for_a_client(merge: Any, serve: Serve) -> None:
    before = dict(registry._registered)
    register("merge", merge)
    try:
        async with serve(drafted) as up:
            good = await up.chat("small:merge-d2-n5", tpo={"return_trace": False})
            assert good.status_code == 200, good.text
            assert good.json()["choices"][0]["message"]["content"] == "merged"
            for body in (
                {"model": "python:merge:merge"},
                {"model": "small:tpo", "tpo": {"method": "python:merge:merge"}},
            ):
                refused = await up.chat(**body)
                assert refused.status_code in (400, 404), refused.text
    finally:
        registry._registered.clear()
        registry._registered.update(before)


async def test_an_evaluation_compares_it(merge: Any, tmp_path: Path, benchmarks: Path) -> None:
    async with counting(policy) as server:
        methods = ["sample", "python:merge:merge-d1-n2"]
        wanted = Wanted(tasks=["ifeval"], methods=methods, out=tmp_path / "out", data=[str(benchmarks)])
        found = await evaluate(wanted, options(server, settings={"best": 3}))
    assert [(one.label, one.method) for one in found.methods][1] == (methods[1], "python:merge:merge")
    assert found.costs[methods[1]].calls == 3


async def test_tpo_methods_lists_it(tmp_path: Path) -> None:
    listed = await tpo("methods", "python:merge:merge", "--json", cwd=tmp_path, **PYTHON)
    (row,) = json.loads(listed.out)
    assert (row["answers"], row["replies"], row["stages"]) == (7, 0, 3)
    assert row["settings"] == [{"name": "best", "type": "int", "default": 2}]
    every = await tpo("methods", cwd=tmp_path)
    assert every.code == 0
    assert "tpo: Contrast the best answer with the worst" in every.out
    assert "15 answers, 4 other replies, 7 stages" in every.out
