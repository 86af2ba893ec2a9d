"""How a run stands: while it goes, after a kill, finished."""

from __future__ import annotations

from pathlib import Path

from fakes import FakeReward
from runs.kit import by_number, make_run
from runs.test_history import QUERIES
from tpo.runs.status import at_work, run_status


async def test_how_a_run_stands_while_it_goes_and_after_a_kill(tmp_path: Path) -> None:
    seen = []

    def look(text: str) -> float:
        seen.append((at_work(tmp_path / "run"), run_status(tmp_path / "run")))
        return by_number(text)

    run = await make_run(tmp_path, QUERIES, reward=FakeReward(look))
    assert all(working and found.state == "running" and found.counted for working, found in seen)
    assert not at_work(run)
    assert run_status(run).state == "finished"
    lines = (run / "answers.jsonl").read_bytes().splitlines(keepends=True)
    (run / "answers.jsonl").write_bytes(b"".join(lines[:2]))
    found = run_status(run)  # the summary is older than the answers, but knows how many queries there are
    assert (found.state, found.summary.done, found.summary.left, found.counted) == ("unfinished", 2, 2, True)
    (run / "summary.json").unlink()
    found = run_status(run)
    assert (found.state, found.summary.done, found.summary.total, found.counted) == ("unfinished", 2, 2, False)
