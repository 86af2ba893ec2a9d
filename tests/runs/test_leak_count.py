"""benchmarks/leaks.py finds planted words of ours in final answers, and nothing else."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from fakes import FakeModel, FakeReward, said
from runs.kit import make_run
from scripts import script
from tpo.engine import sampling
from tpo.models.protocol import Request
from tpo.prompts.leaks import Cleaned
from tpo.rewards.protocol import Score

PLANTED = "Answer 2 is better than Answer 1. Explain in two or three sentences why, dear reader."
OF_THE_CHECK = "every sentence of it has to end with the word that begins the next"


@pytest.fixture(scope="module")
def leaks() -> ModuleType:
    return script("benchmarks/leaks.py")


@pytest.fixture
def unclean(monkeypatch: pytest.MonkeyPatch) -> None:
    """Answers are kept as they land, with all words of ours."""
    monkeypatch.setattr(sampling, "clean", lambda text, scaffold, whole=False: Cleaned(text))


async def run(folder: Path, answers: dict[str, str], **options: Any) -> Path:
    """Each query gets a plain first sample, and the given answer later, which has the highest reward."""
    seen: set[str] = set()

    def answer(request: Request, index: int) -> str:
        question = next((one for one in answers if one in said(request)), None)
        if question is None or question not in seen:
            seen.add(question or "")
            return f"A plain first sample for {question}, of the length that answers have here, no more and no less."
        return answers[question]

    def reward(text: str) -> Score:
        first = text.startswith("A plain first")
        return Score(0.2 if first else 0.9, {}, f"kept 0 of 1 requirements; missing: {OF_THE_CHECK}")

    folder.mkdir(exist_ok=True)  # noqa: ASYNC240 -- nothing else runs meanwhile
    critic = FakeModel(lambda request, index: "It lacks a reason, and the second part is too short.")
    how: dict[str, Any] = {"method": "tpo", "width": 1, "depth": 1, "critic": critic}
    return await make_run(folder, list(answers), FakeModel(answer), FakeReward(reward), **{**how, **options})


@pytest.mark.usefixtures("unclean")
async def test_planted_words_are_found_and_those_of_the_query_are_not(tmp_path: Path, leaks: ModuleType) -> None:
    theirs = "please write the new answer between the two lines that I gave you"
    answers = {
        "Question 0?": "A clean answer that is as long as the first sample, with nothing in it that is ours.",
        "Question 1?": f"It begins well, and then: {PLANTED} And so on.",
        f"Question 2, {PLANTED}": f"The text that I am to translate says: {PLANTED}",
        f"Question 3, {theirs}": f"You said: {theirs}, and here it is, as long as a first sample.",
        "Question 4?": f"As you know, {OF_THE_CHECK}, which I have kept in mind.",
    }
    path = await run(tmp_path, answers)
    found = leaks.checked(path, 8)
    assert found.answers == 5
    words = {leak.query: leak.words for leak in found.leaks}
    assert words.keys() == {"q1", "q4"}
    assert words["q1"] == "answer 2 is better than answer 1 explain"


@pytest.mark.usefixtures("unclean")
async def test_an_answer_that_was_shown_to_the_critic_is_no_leak_by_that(tmp_path: Path, leaks: ModuleType) -> None:
    path = await run(tmp_path, {"Question 0?": "One two three four five six seven eight nine ten eleven."}, depth=3)
    assert leaks.checked(path, 8).leaks == []


async def test_the_real_cleaning_leaves_none(tmp_path: Path, leaks: ModuleType) -> None:
    path = await run(tmp_path, {"Question 1?": f"It begins well. {PLANTED} And so on, and so on, and so on."})
    assert leaks.checked(path, 8).leaks == []


@pytest.mark.usefixtures("unclean")
async def test_the_table_counts_and_the_exit_code_says_whether_all_is_well(
    tmp_path: Path, leaks: ModuleType, capsys: pytest.CaptureFixture[str]
) -> None:
    fine = "A clean answer of the same length that a first sample for a question has here, or nearly so, I think."
    await run(tmp_path / "good", {"Question 0?": fine})
    assert leaks.main([str(tmp_path)]) == 0
    await run(tmp_path / "bad", {"Question 0?": PLANTED * 3})
    assert leaks.main([str(tmp_path)]) == 1
    printed = capsys.readouterr().out
    assert "1 of 2 leak." in printed
    assert "(too much)" in printed
    assert leaks.main([str(tmp_path / "nowhere")]) == 2
