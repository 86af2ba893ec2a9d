"""The library's front door: light to import, usable with and without a loop."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from pathlib import Path

import pytest

import tpo
from fakes import FakeModel, FakeReward, numbered
from tpo.engine.records import Replied, Sampled


def test_importing_tpo_loads_nothing_heavy() -> None:
    code = "import sys, tpo; print(sorted({name.partition('.')[0] for name in sys.modules} - before))"
    code = f"import sys; before = {{*sys.modules, *sys.stdlib_module_names}}; {code}"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert out.strip() == "['tpo']"


def test_the_help_loads_the_command_line_alone() -> None:
    code = "import sys; sys.argv[1:] = ['--help']\ntry:\n    import tpo.cli; tpo.cli.main()\nexcept SystemExit: pass\n"
    code += "print('LOADED', *sys.modules)"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    loaded = out.partition("LOADED ")[2].split()
    rooms = {name.split(".")[1] for name in loaded if name.startswith("tpo.")}
    assert rooms == {"cli"}
    heavy = {"aiohttp", "asyncio", "jinja2", "msgspec", "numpy", "openai", "starlette", "tenacity", "uvicorn"}
    assert not heavy & set(loaded)


def test_every_public_name_is_there() -> None:
    for name in tpo.__all__:
        assert getattr(tpo, name) is not None
    assert set(tpo.__all__) <= set(dir(tpo))
    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        _ = tpo.nonsense


def test_align_sync_in_a_script() -> None:
    result = tpo.align_sync("How?", policy=FakeModel(numbered()), reward=FakeReward(lambda t: float(len(t))))
    assert result.answer == "answer 10"


async def test_align_sync_inside_a_running_loop() -> None:
    result = tpo.align_sync("How?", policy=FakeModel(numbered()), reward=FakeReward(lambda t: 1.0), depth=0)
    assert result.reward == 1.0


async def test_align_with_a_function_as_reward_and_requirements() -> None:
    def shortest(conversations: list[list[dict[str, str]]]) -> list[float]:
        return [-float(len(conversation[-1]["content"])) for conversation in conversations]

    result = await tpo.align("How?", policy=FakeModel(numbered()), reward=shortest, require=["contains=1"], depth=0)
    assert result.answer == "answer 1"


async def test_errors_are_typed() -> None:
    with pytest.raises(tpo.InputError):
        await tpo.align("", policy=FakeModel(numbered()))
    with pytest.raises(tpo.InputError, match="critic_model is given without critic"):
        await tpo.align("How?", policy=FakeModel(numbered()), critic_model="big")
    with pytest.raises(tpo.InputError, match="needs a reward"):
        await tpo.align("How?", policy=FakeModel(numbered()), reward="none")


async def test_a_broken_off_trace_is_continued_and_a_finished_one_replaced(tmp_path: Path) -> None:
    path = tmp_path / "trace.jsonl"
    stopper = tpo.Stopper()
    reward = FakeReward(lambda t: float(len(t)))
    notes: list[str] = []

    async def run(model: FakeModel, stop: tpo.Stopper | None = None) -> tpo.Result:
        return await tpo.align(
            "How?", policy=model, reward=reward, seed=1, trace=path, stopper=stop, on_note=notes.append, width=3
        )

    def stopping(request: object, index: int) -> str:
        if len(first.requests) == 4:
            stopper.stop("interrupt")
        return f"answer {len(first.requests)}"

    first = FakeModel(stopping)
    broken_off = await run(first, stopper)
    assert broken_off.stop == "interrupt"
    paid = [record for record in broken_off.trace if isinstance(record, Sampled | Replied)]
    assert len(paid) >= 3
    second = FakeModel(numbered("other"))
    result = await run(second)
    assert result.stop == "depth"
    assert result.steps[0].candidates[0].text.startswith("answer")
    assert len(second.requests) == 13 - len(paid)
    assert notes == [f"{path} holds the beginning of this search, which continues from there."]
    third = FakeModel(numbered())
    await run(third)
    assert len(third.requests) == 13
    assert tpo.replay(path).candidates[0].text == "answer 1"


async def test_a_file_that_is_no_trace_is_never_overwritten(tmp_path: Path) -> None:
    notes, damaged = tmp_path / "notes.md", tmp_path / "damaged.jsonl"
    notes.write_text("my notes\n")
    model = FakeModel(numbered())
    await tpo.align("How?", policy=model, depth=0, trace=damaged)
    damaged.write_bytes(damaged.read_bytes().replace(b'"turn":0', b'"turn":?', 1))
    model.requests.clear()
    for path in (notes, damaged):
        before = path.read_bytes()
        with pytest.raises(tpo.JournalError, match="Nothing was overwritten"):
            await tpo.align("How?", policy=model, depth=0, trace=path)
        assert path.read_bytes() == before
    assert model.requests == []


async def test_a_broken_off_trace_of_another_run_is_replaced_with_a_note(tmp_path: Path) -> None:
    path = tmp_path / "trace.jsonl"
    notes: list[str] = []
    stopper = tpo.Stopper()

    def stopping(request: object, index: int) -> str:
        if len(first.requests) == 6:
            stopper.stop("interrupt")
        return f"answer {len(first.requests)}"

    first = FakeModel(stopping)
    assert (await tpo.align("How?", policy=first, trace=path, stopper=stopper)).stop == "interrupt"
    again = await tpo.align("Why?", policy=FakeModel(numbered()), depth=0, trace=path, on_note=notes.append)
    assert notes == [f"{path} held an unfinished search with another plan; it is replaced."]
    assert tpo.replay(path) == again


async def test_two_runs_at_once_do_not_mix(tmp_path: Path) -> None:
    reward = FakeReward(lambda t: float(len(t)))
    model = FakeModel(lambda r, i: f"re {r.messages[-1]['content'][:9]}")
    results = await asyncio.gather(*[tpo.align(f"Query {i}", policy=model, reward=reward, depth=0) for i in range(20)])
    assert [result.answer for result in results] == [f"re Query {i}" for i in range(20)]


async def test_a_selection_rule_decides_and_a_finished_trace_replays_it(tmp_path: Path) -> None:
    path = tmp_path / "trace.jsonl"

    async def aligned(select: str) -> tpo.Result:
        model, reward = FakeModel(numbered()), FakeReward(lambda t: float(t.rpartition(" ")[2]))
        return await tpo.align(
            "How?", policy=model, reward=reward, method="best-of-n", width=8, seed=1, trace=path, select=select
        )

    hedged = await aligned("hedged:0")
    assert (hedged.reward or 0) < max(one.reward or 0 for one in hedged.candidates)
    assert tpo.replay(path).answer == hedged.answer
    assert (await aligned("hedged:0")).answer == hedged.answer
    knockout = await aligned("knockout")
    assert (knockout.reward, knockout.usage["critic"].calls, len(knockout.steps)) == (8.0, 14, 1)
    with pytest.raises(tpo.InputError, match="The selection rule is 'worst'"):
        await aligned("worst")
