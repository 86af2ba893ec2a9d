"""Files of earlier versions (`docs/compatibility.md`): `stored/` was written by 0.1.0, before lines had checksums."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

import tpo
from fakes import FakeModel, FakeReward, numbered
from runs.kit import by_number
from tpo.errors import InputError
from tpo.options import ExportFormat, ExportOptions, RunOptions
from tpo.runs.dataset import Report, Watcher, run_spec
from tpo.runs.export import Export
from tpo.runs.history import histories
from tpo.runs.status import State, run_status
from tpo.session.spec import specified

STORED = Path(__file__).parent / "stored"


@pytest.fixture
def run(tmp_path: Path) -> Path:
    return Path(shutil.copytree(STORED / "run-0.1.0", tmp_path / "run"))


async def go_on(run: Path, model: FakeModel, **options: Any) -> Report:
    asked: Any = {"policy": model, "reward": FakeReward(by_number), "check": False, "width": 2, "depth": 1, "seed": 1}
    spec = specified(asked)
    # The wording of prompts may have changed since; this is about everything else.
    spec.prompts.name = json.loads((STORED / "run-0.1.0" / "run.json").read_text())["recipe"]["prompts"]
    return await run_spec(str(STORED / "data.jsonl"), run, spec, RunOptions(concurrency=1, **options), Watcher())


def test_a_run_is_shown_and_exported(run: Path) -> None:
    found = run_status(run)
    assert (found.state, found.summary.done, found.summary.failed) == (State.FAILED, 3, 1)
    told = list(histories(run))
    assert [story.id for story in told] == ["q0", "q1", "q2", "q3"]
    assert [story.result.answer for story in told if story.result] == ["answer 6", "answer 12", "answer 18"]
    rows = list(Export(ExportOptions(format=ExportFormat.DPO)).of(histories(run)))
    assert [row["chosen"][0]["content"] for row in rows] == ["answer 6", "answer 12", "answer 18"]


def test_a_trace_is_replayed() -> None:
    result = tpo.replay(STORED / "trace-0.1.0.jsonl")
    assert (result.answer, result.stop, len(result.candidates)) == ("answer 6", "depth", 4)


async def test_other_wording_is_refused_with_what_to_do(run: Path) -> None:
    identity = json.loads((run / "run.json").read_text())
    identity["recipe"]["prompts"] = "default@000000000000"
    (run / "run.json").write_text(json.dumps(identity))
    with pytest.raises(InputError, match=r"prompts was 'default@0+' and is .*--out, or start again with --fresh"):
        await go_on(run, FakeModel(numbered()))


@pytest.mark.parametrize("counts", ["2", "2.0", '"2"'])
async def test_a_broken_off_run_goes_on_under_its_old_keys(run: Path, counts: str) -> None:
    """The answers of q0 and q1 are there, of q3 only the journal's beginning; q2 had failed."""
    journal = (run / "journal.jsonl").read_text().splitlines(keepends=True)
    assert '"crc"' not in "".join(journal)
    # What a server sent as a float was written as it came.
    kept = "".join(journal[:-10]).replace('"completion_tokens":2', f'"completion_tokens":{counts}')
    (run / "journal.jsonl").write_text(kept)
    answers = (run / "answers.jsonl").read_text().splitlines(keepends=True)
    (run / "answers.jsonl").write_text("".join(answers[:2]))
    model = FakeModel(numbered("later"))
    report = await go_on(run, model)
    assert (report.summary.done, report.summary.failed) == (4, 0)
    assert 0 < len(model.requests) < 2 * 6  # q2 from its beginning, and the rest of q3
    assert (run / "answers.jsonl").read_text().startswith("".join(answers[:2]))


async def test_a_finished_run_stays_as_it_is(run: Path) -> None:
    model = FakeModel(numbered())
    report = await go_on(run, model)
    assert (report.idle, report.summary.done, model.requests) == (True, 3, [])
