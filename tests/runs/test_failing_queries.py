"""Queries without an answer, and keys that stop being accepted in mid-run."""

from __future__ import annotations

from pathlib import Path

import pytest

from fakes import FakeModel, numbered
from runs.kit import reported
from tpo.errors import ModelError
from tpo.http.failures import KeyRefused
from tpo.models.protocol import Request
from tpo.runs.answers import read_answers

QUESTIONS = [f"Question {number}?" for number in range(8)]


def refusing_after(calls: int, status: int) -> FakeModel:
    """Accepts the key for so many calls."""
    answer, seen = numbered(), 0

    def answering(request: Request, index: int) -> str | ModelError:
        nonlocal seen
        seen += 1
        return answer(request, index) if seen <= calls else KeyRefused(f"refused the key ({status})", status)

    return FakeModel(answering)


@pytest.mark.parametrize("status", [401, 403])
async def test_a_key_that_expires_ends_the_run_and_a_new_one_finishes_it(tmp_path: Path, status: int) -> None:
    with pytest.raises(ModelError, match="refused the key"):
        await reported(tmp_path, QUESTIONS, refusing_after(20, status), concurrency=1)
    failed = [answer for answer in read_answers(tmp_path / "run" / "answers.jsonl") if answer.error]
    assert len(failed) <= (0 if status == 401 else 3)
    report = await reported(tmp_path, QUESTIONS, retry_failed=True)
    assert (report.summary.done, report.summary.failed) == (8, 0)


async def test_a_403_for_one_query_is_that_query_s(tmp_path: Path) -> None:
    answer = numbered()

    def answering(request: Request, index: int) -> str | ModelError:
        odd = "Question 3?" in str(request.messages)
        return KeyRefused("objectionable (403)", 403) if odd else answer(request, index)

    report = await reported(tmp_path, QUESTIONS, FakeModel(answering))
    assert (report.summary.done, report.summary.failed) == (7, 1)


@pytest.mark.parametrize("text", ["", " \n"])
async def test_a_query_whose_answers_are_all_empty_is_a_failed_row_with_its_reason(tmp_path: Path, text: str) -> None:
    report = await reported(tmp_path, QUESTIONS[:2], FakeModel(lambda request, index: text), depth=0)
    assert (report.summary.done, report.summary.failed) == (0, 2)
    for answer in read_answers(tmp_path / "run" / "answers.jsonl"):
        assert not answer.answer
        assert answer.error and answer.stop == "error"


def test_a_state_file_that_holds_no_number_of_seconds_counts_as_none(tmp_path: Path) -> None:
    from tpo.runs.directory import RunDirectory

    for text in ("nan", "inf", "-5", "five", ""):
        (tmp_path / "seconds").write_text(text)
        assert RunDirectory(tmp_path).seconds() == 0.0
