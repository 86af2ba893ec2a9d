"""What an answer lacks, one requirement at a time: from the reward, by way of a journal, to the advice."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

import tpo
from fakes import FakeModel, said
from tpo.candidate import Candidate
from tpo.messages import Conversation, answered, conversation
from tpo.methods import Pool
from tpo.methods.contrast import is_useful, one_demand, rejected_by
from tpo.methods.unmet import demands
from tpo.rewards import call
from tpo.rewards.combine import Combined
from tpo.rewards.gate import Gate
from tpo.rewards.prefer.reward import ItemScore, PreferReward
from tpo.rewards.protocol import Reward
from tpo.rewards.require import Requirements
from tpo.rewards.surface import Surface
from tpo.rewards.verifiers.ifeval import IFEval
from tpo.rewards.verifiers.json_schema import JsonSchema
from tpo.rewards.verifiers.pattern import Regex
from tpo.session.output_format import Tools

QUERY = conversation("Where?")
ENDING = 'contains="a; b"'


class Probable(PreferReward):
    """A checklist whose judge reports these probabilities of yes."""

    def __init__(self, path: Path, *table: Sequence[float]) -> None:
        super().__init__(str(path), judge="http://127.0.0.1:9", universal=False)
        self._table = list(table)

    async def connect(self) -> None:
        self.items = ["names the river", "is polite", "is short"]

    async def item_scores(self, conversation: Conversation) -> list[ItemScore]:
        return [ItemScore(value) for value in self._table.pop(0)]


async def candidates(reward: Reward, *texts: str) -> list[Candidate]:
    scores = await call.score(reward, [answered(QUERY, text) for text in texts])
    return [
        Candidate(f"0.{i}", 0, text, score.value, score.parts, score.feedback, missing=score.missing)
        for i, (text, score) in enumerate(zip(texts, scores, strict=True))
    ]


@pytest.fixture
def checklist(tmp_path: Path) -> Path:
    path = tmp_path / "preference.md"
    path.write_text("- names the river\n- is polite\n- is short\n")
    return path


async def test_a_minimal_pair_by_a_judge_with_probabilities(checklist: Path) -> None:
    reward = Probable(checklist, [0.02, 0.03, 0.97], [0.01, 0.95, 0.96])
    chosen, other = await candidates(reward, "a", "b")
    assert demands(chosen) == {"item1": "names the river", "item2": "is polite"}
    assert one_demand(chosen, other) == "is polite"  # the other keeps it


async def test_probabilities_that_are_close_are_no_difference(checklist: Path) -> None:
    reward = Probable(checklist, [0.02, 0.9, 0.97], [0.1, 0.7, 0.2], [0.9, 0.1, 0.1])
    pool = Pool()
    pool.add(await candidates(reward, "best", "one item apart", "three items apart"))
    minimal = rejected_by("minimal", pool)
    assert minimal is not None
    # The third is closer in reward, and exact numbers differ everywhere.
    assert minimal.text == "one item apart"


async def test_a_requirement_with_a_semicolon_stays_whole() -> None:
    (chosen,) = await candidates(Requirements([ENDING, "contains=fox"]), "Nothing.")
    words = demands(chosen)
    assert list(words) == [ENDING, "contains=fox"]
    assert "a; b" in one_demand(chosen, None)
    # The gate compares with all of a requirement, not with a half that any advice may name.
    long = Candidate("0.0", 0, "a", 0.0, missing={"end": "ends with these words; nothing whatever comes afterwards"})
    assert not is_useful("Use these words.", long)


TOOLS = [{"type": "function", "function": {"name": "look"}}]
RULES = Requirements([ENDING])
SCHEMA: Any = {"type": "object", "required": ["city", "river"]}


@pytest.mark.parametrize(
    ("reward", "answer", "named"),
    [
        (RULES, "No.", [ENDING]),
        (Gate(RULES, Surface()), "<|im_start|> No.", [ENDING, "surface.cleanness"]),
        (
            Combined({"rules": RULES, "more": Requirements(["contains=fox"])}),
            "a; b",
            ["rules." + ENDING, "more.contains=fox"],
        ),
        (
            IFEval([("punctuation:no_comma", {}), ("detectable_format:title", {})]),
            "a, b",
            ["punctuation:no_comma", "detectable_format:title"],
        ),
        (Regex("x; y", reveal=True), "a", ["regex"]),
        (JsonSchema(SCHEMA), "{}", ["schema (1)", "schema (2)"]),
        (Tools(TOOLS, "required", RULES), "In words.", ["tools", ENDING]),
    ],
)
async def test_every_reward_names_what_is_missing_by_its_parts(reward: Reward, answer: str, named: list[str]) -> None:
    (found,) = await candidates(reward, answer)
    assert list(found.missing) == named
    assert all(words in str(found.feedback) for words in found.missing.values())


async def test_it_reaches_a_search_and_its_trace(tmp_path: Path) -> None:
    def policy(request: Any, index: int) -> str:
        return 'It ends with "a; b" now.' if "a; b" in said(request) else f"Wipe it {index}."

    result = await tpo.align(
        "How?",
        policy=FakeModel(policy),
        reward=Requirements([ENDING]),
        method="tpo",
        settings={"contrast": "minimal"},
        width=2,
        depth=1,
        trace=tmp_path / "trace.jsonl",
    )
    assert list(result.candidates[0].missing) == [ENDING]
    assert tpo.replay(tmp_path / "trace.jsonl").candidates == result.candidates
