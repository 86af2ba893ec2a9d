"""`tpo show` as a user meets it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import typer
from typer.testing import CliRunner

from fakes import FakeModel, FakeReward, numbered
from runs.kit import by_number, make_run
from runs.test_history import failing
from tpo.cli.help import HelpfulCommand
from tpo.cli.show import show
from tpo.rewards.protocol import Score
from view.runs import ARM, make_judged


class Shown(NamedTuple):
    code: int
    out: str
    err: str


def call(command: Callable[..., Any], *arguments: str | Path) -> Shown:
    """Call one command as the command line does."""
    app = typer.Typer(rich_markup_mode=None)
    app.command(cls=HelpfulCommand)(command)
    result = CliRunner().invoke(app, [str(argument) for argument in arguments], env={"COLUMNS": "200"})
    return Shown(result.exit_code, result.stdout, result.stderr)


def run_of(folder: Path, *queries: str, **options: Any) -> Path:
    """A run of these queries."""
    return asyncio.run(make_run(folder, queries, **options))


def test_a_run_is_shown_with_how_it_stands(tmp_path: Path) -> None:
    run = run_of(tmp_path, "Apples?", "Zebras?")
    shown = call(show, run)
    assert shown.code == 0
    assert "2 queries: 2 answered" in shown.out
    assert shown.out.rstrip().endswith("finished: all queries have their answers")
    value = json.loads(call(show, run, "--json").out)
    written = json.loads((run / "summary.json").read_text())
    assert value == {"directory": str(run), "state": "finished"} | written


def test_an_unfinished_run_is_counted_from_its_answers(tmp_path: Path) -> None:
    run = run_of(tmp_path, "Apples?", "Zebras?", "Cherries?")
    lines = (run / "answers.jsonl").read_bytes().splitlines(keepends=True)
    (run / "answers.jsonl").write_bytes(lines[0] + lines[1][:30])
    assert "unfinished: 2 of 3 queries are left" in call(show, run).out
    (run / "summary.json").unlink()
    assert "some queries may be left" in call(show, run).out
    value = json.loads(call(show, run, "--json").out)
    assert (value["state"], value["done"], value["total"], value["left"]) == ("unfinished", 1, None, None)


def test_failed_queries_are_counted(tmp_path: Path) -> None:
    run = run_of(tmp_path, "Apples?", "Zebras?", model=failing("Zebras", after=3))
    shown = call(show, run)
    assert "1 of 2 queries failed; --retry-failed tries them again" in shown.out
    failed = call(show, run, "q1")
    assert failed.code == 0
    assert "failed: " in failed.out
    assert "refused: Zebras" in failed.out
    assert "\nanswer 0.2, reward " in failed.out  # the best so far
    value = json.loads(call(show, run, "q1", "--json").out)
    assert "refused: Zebras" in value["error"]
    assert (value["stop"], value["id"]) == ("error", "q1")


def test_the_history_of_a_query(tmp_path: Path) -> None:
    def reward(text: str) -> Score:
        return Score(by_number(text), {"length": 0.5}, f"found {text}")

    run = run_of(tmp_path, "Apples?", model=FakeModel(numbered()), reward=FakeReward(reward))
    shown = call(show, run, "q0")
    assert (shown.code, shown.err) == (0, "")
    lines = shown.out.splitlines()
    assert lines[:2] == ["query q0", lines[1]]
    assert lines[1].startswith("ended: depth, ")
    assert lines[3:5] == [f"answer 1.2, reward {lines[4].split()[-1]}", f"  {lines[4].strip()}"]  # the answer is first
    assert "    Apples?" in lines
    assert "  starts from 0.2, compared with 0.0" in lines
    assert "  0.0: reward 1, stop, 2 tokens, rejected for step 1" in lines
    assert "  0.2: reward 3, stop, 2 tokens, chosen for step 1" in lines
    assert "    parts: length 0.5" in lines
    assert "    feedback: found answer 3" in lines
    assert [line.strip() for line in lines if line.strip().startswith(("step", "loss", "gradient"))] == [
        *("step 0", "step 1", "loss:", "gradient:")
    ]
    assert "costs (calls, tokens, seconds)" in lines
    assert "prompt answer" not in shown.out
    prompted = call(show, run, "q0", "--prompts").out
    for name in ("prompt answer to the policy, 3 answers:", "prompt loss to the critic:", "prompt gradient to the"):
        assert name in prompted


def test_json_is_the_object_of_replay(tmp_path: Path) -> None:
    run = run_of(tmp_path, "Apples?")
    value = json.loads(call(show, run, "q0", "--json").out)
    keys = {"id", "key", "error", "answer", "reward", "method", "width", "depth", "stop", "steps", "usage", "seconds"}
    assert value.keys() == keys | {"chosen", "held_out", "arms", "select"}
    assert value["select"] == "best"
    value = json.loads(call(show, run, "q0", "--json", "--prompts").out)
    assert [prompt["name"] for prompt in value["prompts"]][:2] == ["answer", "loss"]


def test_a_query_without_any_answer(tmp_path: Path) -> None:
    run = run_of(tmp_path, "Apples?", model=failing("Apples"))
    shown = call(show, run, "q0")
    assert shown.code == 0
    assert "refused: Apples" in shown.out
    value = json.loads(call(show, run, "q0", "--json").out)
    assert (value["answer"], value["stop"], value["steps"]) == (None, "error", [])


def test_a_models_text_cannot_move_the_cursor_and_is_no_markup(tmp_path: Path) -> None:
    model = FakeModel(lambda request, index: "\x1b[2J\x07[bold]Hi :smile: [/nothing]\r\n\tThere\x9b 1")
    run = run_of(tmp_path, "[red]Apples?[/red]", model=model)
    out = call(show, run, "q0", "--prompts").out
    assert "\x1b" not in out
    assert "\x07" not in out
    assert "\ufffd[2J\ufffd[bold]Hi :smile: [/nothing]\n" in out
    assert "[red]Apples?[/red]" in out


def test_a_users_mistake_is_one_clear_line(tmp_path: Path) -> None:
    run = run_of(tmp_path, "Apples?")
    for arguments, complaint in (
        ((tmp_path,), "is not a directory of a run: it has no run.json"),
        ((tmp_path / "nowhere",), "is not there"),
        ((tmp_path / "data.jsonl", "q0"), "is a file"),
        ((run, "q"), "has begun no query 'q'; near are q0"),
        ((run, "--prompts"), "give its id"),
    ):
        shown = call(show, *arguments)
        assert (shown.code, shown.out) == (2, "")
        assert complaint in " ".join(shown.err.split())


def test_a_judge_a_panel_and_a_warning_are_shown(tmp_path: Path) -> None:
    run = asyncio.run(make_judged(tmp_path / "runs"))
    whole = call(show, run)
    assert "held-out judge: first sample" in whole.out and "answers chosen" in whole.out
    assert "warning: the reward rises by" in whole.out and ARM in whole.out
    shown = call(show, run, "j1")
    assert "the held-out judge scores the first sample -" in shown.out
    assert "warning: the reward rose while the held-out judge fell" in shown.out
    assert "models of the panel" in shown.out and ", by " in shown.out
