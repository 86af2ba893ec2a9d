"""Training data of whole runs, and the files that it goes to."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fakes import FakeModel, FakeReward, numbered
from runs.kit import make_run
from runs.test_history import failing
from tpo.errors import InputError, JournalError
from tpo.options import ExportFormat, ExportOptions, PairRule
from tpo.runs.export import Export, columns, write_file, write_stream
from tpo.runs.history import histories


async def test_a_run_gives_what_is_there(tmp_path: Path) -> None:
    run = await make_run(tmp_path, ["Apples?", "Zebras?", "Cherries?"], failing("Zebras", after=2))
    export = Export(ExportOptions(format=ExportFormat.DPO, plain=True))
    rows = list(export.of(histories(run)))
    assert sorted((row["id"], row["prompt"]) for row in rows) == [("q0", "Apples?"), ("q2", "Cherries?")]
    assert all(row["score_chosen"] - row["score_rejected"] > 2 for row in rows)
    assert (export.rows, export.used, export.seen, dict(export.left_out)) == (2, 2, 3, {"that failed": 1})


async def test_nan_rewards_and_tagged_replies(tmp_path: Path) -> None:
    answer = numbered("<improved_answer>better")

    def reward(text: str) -> float:
        number = float(text.split()[-1])
        return float("nan") if number % 2 else number

    def tagged(request: Any, index: int) -> str:
        text = answer(request, index)
        return text if "<improved_answer>" in str(request.messages[-1]) else text.removeprefix("<improved_answer>")

    run = await make_run(tmp_path, ["one?"], FakeModel(tagged), FakeReward(reward), width=6)
    rows = list(Export(ExportOptions(format=ExportFormat.DPO, pairs=PairRule.BEST_EACH)).of(histories(run)))
    assert rows
    said = [row[part][0]["content"] for row in rows for part in ("chosen", "rejected")]
    assert all(text.startswith("better ") and int(text.split()[-1]) % 2 == 0 for text in said)


def leftovers(folder: Path) -> list[Path]:
    """Files that were never finished."""
    return list(folder.glob("*.new"))


@pytest.mark.parametrize("format", list(ExportFormat))
@pytest.mark.parametrize("plain", [False, True])
async def test_files_hold_the_columns_that_are_promised(tmp_path: Path, format: ExportFormat, plain: bool) -> None:
    pyarrow = pytest.importorskip("pyarrow.parquet")
    run = await make_run(tmp_path, ["one?", "two?"])
    options = ExportOptions(format=format, plain=plain)
    for name in ("rows.jsonl", "rows.parquet"):
        write_file(Export(options).of(histories(run)), tmp_path / name, options, run)
    lines = [json.loads(line) for line in (tmp_path / "rows.jsonl").read_text().splitlines()]
    assert len(lines) == (4 if format is ExportFormat.KTO else 2)
    assert {tuple(line) for line in lines} == {tuple(column.name for column in columns(options))}
    assert pyarrow.read_table(tmp_path / "rows.parquet").to_pylist() == lines
    assert not leftovers(tmp_path)


async def test_a_file_is_whole_or_not_there(tmp_path: Path) -> None:
    run = await make_run(tmp_path, ["one?", "two?"], concurrency=1)
    journal = (run / "journal.jsonl").read_bytes().splitlines(keepends=True)
    (run / "journal.jsonl").write_bytes(b"".join(journal[:-1]) + journal[-1].replace(b'"seconds":', b'"secondz":'))
    options = ExportOptions(format=ExportFormat.SFT, plain=True)
    for name in ("rows.jsonl", "rows.parquet"):
        (tmp_path / name).write_text("old")
        with pytest.raises(JournalError, match="the line is damaged"):
            write_file(Export(options).of(histories(run)), tmp_path / name, options, run)
        assert (tmp_path / name).read_text() == "old"
    for path, complaint in (
        (run / "answers.jsonl", "of the run itself"),
        (tmp_path, "is a directory"),
        (tmp_path / "no" / "rows.jsonl", "cannot be written"),
        (tmp_path / "rows.jsonl" / "x", "cannot be written"),
    ):
        with pytest.raises(InputError, match=complaint):
            write_file(iter([]), path, options, run)
    assert not leftovers(tmp_path)


@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(text=st.text(st.characters(codec="utf-8")).filter(str.strip))
def test_any_text_is_exported_as_it_was_written(tmp_path_factory: pytest.TempPathFactory, text: str) -> None:
    folder = tmp_path_factory.mktemp("text")
    model = FakeModel(lambda request, index: text)
    run = asyncio.run(make_run(folder, ["one?"], model, FakeReward(len), depth=0))
    options = ExportOptions(format=ExportFormat.SFT)
    write_file(Export(options).of(histories(run)), folder / "rows.jsonl", options, run)
    (story,) = histories(run)
    assert story.result is not None
    lines = (folder / "rows.jsonl").read_bytes().split(b"\n")[:-1]
    assert [json.loads(line)["completion"][0]["content"] for line in lines] == [
        c.text for c in story.result.candidates[:1] if c.text.strip()
    ]


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_a_full_standard_output_is_reported_in_one_line() -> None:
    with Path("/dev/full").open("wb", buffering=0) as full, pytest.raises(InputError, match="No space left on device"):
        write_stream(iter([{"id": "q"}]), full)
