"""`tpo runs` as a user meets it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from cli.test_show import call, run_of
from runs.test_history import failing
from tpo.cli.runs import runs


def made(folder: Path) -> Path:
    """A directory with three runs, one of them damaged, and things that are none."""
    for name in ("good", "bad", "damaged", "none"):
        (folder / name).mkdir(parents=True)
    run_of(folder / "good", "Apples?", "Zebras?").rename(folder / "a")
    run_of(folder / "bad", "Apples?", "Zebras?", model=failing("Zebras"), method="best-of-n").rename(folder / "b")
    run_of(folder / "damaged", "Apples?").rename(folder / "c")
    (folder / "c" / "run.json").write_text("{")
    (folder / "file").write_text("x")
    return folder


def test_runs_are_listed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = made(tmp_path / "runs")
    shown = call(runs, folder, "--json")
    assert shown.code == 0
    assert f"{folder / 'c' / 'run.json'} cannot be read" in " ".join(shown.err.split())
    good, bad = json.loads(shown.out)
    assert (good["directory"], good["state"], good["done"], good["total"]) == (str(folder / "a"), "finished", 2, 2)
    assert (good["method"], good["width"], good["depth"], good["policy"]) == ("tpo", 3, 1, "fake")
    assert good["answer_reward"] > good["first_reward"]
    assert (bad["state"], bad["failed"], bad["done"], bad["method"]) == ("failed", 1, 2, "best-of-n")
    monkeypatch.chdir(folder)
    here = json.loads(call(runs, "--json").out)
    assert [one["directory"] for one in here] == ["a", "b"]
    monkeypatch.chdir(folder / "a")
    assert [one["directory"] for one in json.loads(call(runs, "--json").out)] == ["."]
    table = call(runs, folder / "a", folder, folder / "b").out
    for cell in ("finished", "failed", "2/2", "1 failed", "fake-reward", "best-of-n", "3×1"):
        assert cell in table
    assert table.count("fake-reward") == 2  # each once, though it is found twice


def test_no_run_and_no_directory(tmp_path: Path) -> None:
    shown = call(runs, tmp_path)
    assert (shown.code, shown.out) == (0, "")
    assert "there is no run in" in shown.err
    assert call(runs, tmp_path, "--json").out == "[]\n"
    shown = call(runs, tmp_path / "nowhere")
    assert (shown.code, shown.out) == (2, "")
    assert "nowhere cannot be read: No such file" in " ".join(shown.err.split())
