"""`tpo export` as a user meets it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from cli.test_show import call, run_of
from runs.test_history import failing
from tpo.cli.export import export


def test_rows_go_to_stdout_and_the_account_to_stderr(tmp_path: Path) -> None:
    run = run_of(tmp_path, "Apples?", "Zebras?", "Cherries?", model=failing("Zebras", after=2))
    shown = call(export, run, "--format", "dpo")
    assert shown.code == 0
    rows = [json.loads(line) for line in shown.out.splitlines()]
    assert sorted(row["id"] for row in rows) == ["q0", "q2"]
    assert rows[0].keys() == {"id", "prompt", "chosen", "rejected", "score_chosen", "score_rejected"}
    assert "2 rows from 2 of 3 queries" in shown.err
    assert "left out: 1 that failed" in shown.err
    quiet = call(export, run, "--format", "dpo", "-q")
    assert (quiet.out, quiet.err) == (shown.out, "")


@pytest.mark.parametrize("name", ["rows.jsonl", "rows.parquet"])
def test_a_file_is_read_by_datasets(tmp_path: Path, name: str) -> None:
    datasets = pytest.importorskip("datasets")
    run = run_of(tmp_path, "Apples?", "Zebras?")
    out = tmp_path / name
    shown = call(export, run, "--format", "kto", "--out", out, "--pairs", "best-each")
    assert (shown.code, shown.out) == (0, "")
    kind = "json" if name.endswith("jsonl") else "parquet"
    loaded = datasets.load_dataset(kind, data_files=str(out), split="train", cache_dir=str(tmp_path / "cache"))
    assert loaded.column_names == ["id", "prompt", "completion", "label", "score"]
    assert loaded.features["label"].dtype == "bool"
    assert loaded[0]["completion"][0].keys() == {"role", "content"}
    assert loaded[0]["label"] is True


def test_an_unfinished_run_gives_what_is_there(tmp_path: Path) -> None:
    run = run_of(tmp_path, "Apples?", "Zebras?", concurrency=1)
    journal = (run / "journal.jsonl").read_bytes()
    (run / "journal.jsonl").write_bytes(journal[:-20])
    lines = (run / "answers.jsonl").read_bytes().splitlines(keepends=True)
    (run / "answers.jsonl").write_bytes(lines[0])
    shown = call(export, run, "--format", "sft", "--plain")
    assert [json.loads(line)["prompt"] for line in shown.out.splitlines()] == ["Apples?"]
    assert "the run is unfinished: 1 of 2 queries are left" in shown.err


def test_a_users_mistake_is_one_clear_line(tmp_path: Path) -> None:
    run = run_of(tmp_path, "Apples?")
    for arguments, complaint in (
        ((tmp_path, "--format", "dpo"), "is not a directory of a run"),
        ((run, "--format", "ppo"), "Invalid value for '--format': 'ppo' is not one of 'dpo'"),
        ((run,), "Missing option '--format'"),
        ((run, "--format", "sft", "--min-gap", "1"), "for dpo and kto"),
        ((run, "--format", "dpo", "--out", run / "answers.jsonl"), "a file of the run itself"),
        ((run, "--format", "dpo", "--out", tmp_path), "is a directory"),
    ):
        shown = call(export, *arguments)
        assert (shown.code, shown.out) == (2, "")
        assert complaint in " ".join(shown.err.split())
