"""What a run learns from its earlier queries: by hand, recorded where a query starts, and the same after any kill."""

from __future__ import annotations

import hashlib
import json
import random
import shutil
from itertools import islice
from pathlib import Path
from typing import Any

import msgspec
import pytest

from fakes import FakeModel, FakeReward, said
from runs.kit import make_run
from tpo.engine.records import Ended, Plan, Prompted, Record, Sampled, SamplingSettings, Scored, Started
from tpo.methods.lifts import Lift
from tpo.models.protocol import Request
from tpo.rewards.protocol import Score
from tpo.runs.answers import read_answers
from tpo.runs.earlier import EarlierQueries
from tpo.runs.history import histories
from tpo.runs.store import read_lines

FOX = "uses the word fox"
QUESTIONS = [f"question {number}" for number in range(8)]
PLAN = Plan([{"role": "user", "content": "hi"}], "adaptive", 1, 0, SamplingSettings(), "p", {}, None)


def answer(request: Request, index: int) -> str:
    """A plain answer keeps the rules in a third of the cases, one with the failed rule before it in none."""
    mark = hashlib.blake2b(f"{said(request)}/{request.seed}/{index}".encode(), digest_size=4).hexdigest()
    kept = int(mark, 16) % 3 == 0 and FOX not in said(request)
    return f"{'kept' if kept else 'failed'} {mark}"


class Rules(FakeReward):
    """A reward with words and a known maximum."""

    maximum = 1.0

    def __init__(self) -> None:
        super().__init__(
            lambda text: Score(float(text.startswith("kept")), feedback=f"kept 0 of 1 rules; missing: {FOX}")
        )


HOW: dict[str, Any] = {
    "method": "adaptive",
    "width": 5,
    "depth": 2,
    "settings": {"arms": ["restate", "resample"], "wave": 4, "price": 0.0, "learn": True},
}


async def run(folder: Path, model: FakeModel | None = None, **options: Any) -> Path:
    folder.mkdir(exist_ok=True)  # noqa: ASYNC240 -- nothing else runs meanwhile
    return await make_run(folder, QUESTIONS, model or FakeModel(answer), Rules(), None, **{**HOW, **options})


def started(path: Path) -> dict[str, dict[str, Lift]]:
    """The lifts that each query started with, in the order in which they started."""
    records = read_lines(path / "journal.jsonl", lambda key: True)
    return {line.id or line.key: line.record.lifts for line in records if isinstance(line.record, Started)}


def essence(path: Path) -> dict[str, tuple[Any, ...]]:
    return {one.id: (one.answer, one.reward, one.steps, one.stop) for one in read_answers(path / "answers.jsonl")}


def journal(*waves: dict[str, list[float | None]], ended: bool = True) -> list[Record]:
    """A query's journal; a reward of None is a failure."""
    records: list[Record] = [Started(PLAN, "0", "now")]
    for turn, wave in enumerate(waves):
        for action, (name, rewards) in enumerate(wave.items()):
            records.append(Prompted(turn, action, turn, name, "policy", []))
            for index, reward in enumerate(rewards):
                place, id = (turn, action, index), f"{turn}.{action}.{index}"
                error = "down" if reward is None else None
                records.append(Sampled(*place, turn, id, "text", "stop", 5, error=error))
                records.append(Scored(*place, id, reward, error=error))
    return [*records, Ended("enough", "0.0.0", 1.0)] if ended else records


def test_the_lift_of_a_journal_by_hand() -> None:
    earlier = EarlierQueries(1.0)
    assert earlier.lifts == {}
    # As in the methods' test: a scale of sqrt(.2), a difference of .5, and a weight of 2.
    earlier.add(journal({"answer": [0.0]}, {"answer": [0.0, 0.0], "restate": [1.0, 0.0]}))
    assert earlier.lifts == {"restate": pytest.approx((2.0, 0.5 / 0.2**0.5))}
    # Two more answers that show no difference halve it; a failure is as bad as the worst answer.
    earlier.add(journal({"answer": [0.0]}, {"answer": [0.0, None], "restate": [0.0, 0.0]}))
    assert earlier.lifts == {"restate": pytest.approx((4.0, 0.25 / 0.2**0.5))}
    earlier.add(journal({"answer": [0.0], "restate": [1.0]}, ended=False))
    assert earlier.lifts["restate"].weight == 4


def test_the_order_of_the_queries_makes_no_difference() -> None:
    chance = random.Random(1)
    queries = [
        journal({"answer": [chance.random() for _ in range(3)], "words": [chance.random() for _ in range(2)]})
        for _ in range(50)
    ]
    found = set()
    for _ in range(5):
        earlier = EarlierQueries(None)
        for records in chance.sample(queries, len(queries)):
            earlier.add(records)
        found.add(earlier.lifts["words"])
    assert len(found) == 1


async def test_each_query_starts_with_what_was_over_by_then(tmp_path: Path) -> None:
    path = await run(tmp_path / "one", concurrency=1)
    lifts = started(path)
    assert list(lifts) == [f"q{number}" for number in range(8)]
    assert lifts["q0"] == {}
    earlier = EarlierQueries(1.0)
    for history in histories(path):
        assert lifts[history.id] == earlier.lifts
        earlier.add(history.records)
    assert earlier.lifts["restate"].mean < -0.2
    # The same again; and one query alone knows nothing.
    assert started(await run(tmp_path / "again", concurrency=1)) == lifts
    assert essence(tmp_path / "again" / "run") == essence(path)


async def test_without_learning_concurrency_decides_nothing(tmp_path: Path) -> None:
    settings = {name: value for name, value in HOW["settings"].items() if name != "learn"}
    one = await run(tmp_path / "one", concurrency=1, settings=settings)
    assert set(map(len, started(one).values())) == {0}
    assert essence(await run(tmp_path / "many", concurrency=64, settings=settings)) == essence(one)


async def test_a_budget_for_all_queries_teaches_nothing(tmp_path: Path) -> None:
    assert set(map(len, started(await run(tmp_path / "run", total_budget_tokens=100)).values())) == {0}


@pytest.mark.parametrize("concurrency", [1, 4])
async def test_after_a_kill_at_any_moment_a_query_goes_on_as_it_began(tmp_path: Path, concurrency: int) -> None:
    whole = await run(tmp_path / "whole", concurrency=concurrency)
    lines = (whole / "journal.jsonl").read_bytes().splitlines(keepends=True)
    answers = (whole / "answers.jsonl").read_bytes().splitlines(keepends=True)
    ended = [number for number, line in enumerate(lines) if b'"record":"ended"' in line]
    for kept in {*range(1, len(lines), len(lines) // 6), ended[2] + 1, ended[5] + 1}:
        folder = tmp_path / f"cut-{kept}"
        shutil.copytree(whole.parent, folder)
        (folder / "run" / "journal.jsonl").write_bytes(b"".join(lines[:kept]))
        # The process was killed before it wrote the answer to the query that ended last.
        over = sum(number < kept for number in ended)
        (folder / "run" / "answers.jsonl").write_bytes(b"".join(answers[: max(over - 1, 0)]))
        known = started(folder / "run")
        path = await run(folder, concurrency=concurrency)
        now = started(path)
        assert {id: now[id] for id in known} == known
        begun = known if concurrency > 1 else now
        assert {id: one for id, one in essence(path).items() if id in begun} == {
            id: one for id, one in essence(whole).items() if id in begun
        }
        if concurrency == 1:
            assert now == started(whole)


async def test_a_run_of_an_earlier_version_goes_on(tmp_path: Path) -> None:
    whole = await run(tmp_path / "run", concurrency=1)
    lines = [json.loads(line) for line in (whole / "journal.jsonl").read_bytes().splitlines()]
    # The earlier version wrote no lifts, and was killed when the first query that learned something had begun.
    learned = next(number for number, line in enumerate(lines) if line["record"].get("lifts"))
    kept = lines[: learned + 2]
    over = sum(line["record"]["record"] == "ended" for line in kept)
    for line in kept:
        del line["crc"]
        line["record"].pop("lifts", None)
    (whole / "journal.jsonl").write_bytes(b"".join(msgspec.json.encode(line) + b"\n" for line in kept))
    answers = (whole / "answers.jsonl").read_bytes().splitlines(keepends=True)
    (whole / "answers.jsonl").write_bytes(b"".join(answers[:over]))
    lifts = started(await run(tmp_path / "run", concurrency=1))
    assert [bool(lifts[f"q{number}"]) for number in range(8)] == [number > over for number in range(8)]
    earlier = EarlierQueries(1.0)
    for history in islice(histories(whole), over + 1):
        earlier.add(history.records)
    assert lifts[f"q{over + 1}"] == earlier.lifts
