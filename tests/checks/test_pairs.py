"""Agreement with people, from the published forms of preference sets."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest

from fakes import FakeReward
from tpo.checks.pairs import agreement, agreement_of_length, difference, share
from tpo.checks.preferences import read_pairs
from tpo.errors import InputError

ROWS: list[dict[str, Any]] = [
    {"prompt": "How?", "chosen": "good one", "rejected": "bad"},
    {"messages": [{"role": "user", "content": "Why?"}], "chosen": "good", "rejected": "bad bad"},
    {
        "prompt": "What?",
        "chosen": [{"role": "assistant", "content": "good"}],
        "rejected": [{"role": "assistant", "content": "bad bad"}],
    },
    {"input": "Who?", "output_1": "bad", "output_2": "good one", "label": 2},
    {
        "instruction": "Sort.",
        "input": "c b a",
        "response1": "good",
        "response2": "bad bad",
        "annotator1": 1,
        "annotator2": 1,
        "annotator3": 2,
    },
    {
        "instruction": "Sort.",
        "input": "",
        "response1": "good",
        "response2": "bad",
        "annotator1": 0,
        "annotator2": 1,
        "annotator3": 2,
    },
    {"prompt": "When?", "response 1": "bad bad", "response 2": "good", "label": 1},
    {"prompt": "When?", "response 1": "bad", "response 2": "good", "label": 2},
]


@pytest.mark.parametrize("lines", [True, False])
async def test_every_published_form_is_read_and_ties_are_left_out(tmp_path: Path, lines: bool) -> None:
    path = tmp_path / "pairs"
    path.write_text("\n".join(map(json.dumps, ROWS)) if lines else json.dumps(ROWS))
    pairs = read_pairs(path)
    assert len(pairs) == 6
    assert pairs[4].query[0]["content"] == "Sort.\n\nc b a"
    reward = FakeReward(lambda text: 1.0 if "good" in text else 0.0)
    assert await agreement(reward, pairs) == [1.0] * 6
    assert agreement_of_length(pairs) == [1.0, 0.0, 0.0, 1.0, 0.0, 0.0]


async def test_equal_and_missing_scores_count_one_half(tmp_path: Path) -> None:
    path = tmp_path / "pairs.jsonl"
    path.write_text(json.dumps(ROWS[0]))
    for value in (1.0, math.nan):
        reward = FakeReward(lambda text, value=value: value)  # type: ignore[misc]
        assert await agreement(reward, read_pairs(path)) == [0.5]


def test_intervals() -> None:
    assert share([1.0] * 50 + [0.0] * 50) == "50.0 [40.4, 59.6]"
    assert difference([1.0, 1.0, 0.0, 1.0], [0.0, 1.0, 0.0, 1.0]) == "+25.0 ± 49.0"
    assert difference([1.0], [0.0]) == "+100.0"


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("{", "neither JSON Lines nor a JSON list"),
        ('{"prompt": "x"}', "row 1: no pair of a known form"),
        ('{"chosen": "a", "rejected": "b"}', "row 1"),
        ("[]", "holds no pair"),
        (json.dumps(ROWS[5]), "holds no pair"),
    ],
)
def test_what_is_no_preference_set_is_reported(tmp_path: Path, text: str, complaint: str) -> None:
    path = tmp_path / "pairs"
    path.write_text(text)
    with pytest.raises(InputError, match=complaint):
        read_pairs(path)
    with pytest.raises(InputError, match="cannot be read"):
        read_pairs(tmp_path / "nowhere")
