"""Token and process reward models: rows of numbers to one."""

from __future__ import annotations

import math
from typing import Any

import pytest

from rewards.served.kit import chat
from tpo.errors import RewardError
from tpo.rewards.vllm import Reduce, reduced, stepped


@pytest.mark.parametrize(
    ("reduce", "expected"),
    [("last", -1.0), ("mean", 1.0), ("min", -1.0), ("product", 0.5 / (1 + math.exp(1)) / (1 + math.exp(-4)))],
)
def test_one_label(reduce: Reduce, expected: float) -> None:
    rows = [[0.0], [4.0], [-1.0]]
    assert reduced(rows, reduce, None, "it") == pytest.approx(expected)
    assert reduced([row[0] for row in rows], reduce, None, "it") == pytest.approx(expected)


def test_two_labels_become_the_probability_of_one() -> None:
    rows = [[0.0, math.log(3)], [0.0, 0.0], [1000.0, 1000.0 + math.log(4)]]
    assert reduced(rows, "product", 1, "it") == pytest.approx(0.75 * 0.5 * 0.8)
    assert reduced(rows, "min", 1, "it") == pytest.approx(0.5)
    assert reduced(rows, "last", 0, "it") == pytest.approx(0.2)


def test_large_logits_do_not_overflow() -> None:
    assert reduced([[1e4], [-1e4]], "product", None, "it") == 0.0


@pytest.mark.parametrize(
    ("rows", "label"),
    [
        ([], None),
        ("AAAA", None),
        ([[]], None),
        ([[1.0], [1.0, 2.0]], 0),
        ([[1.0, 2.0]], None),
        ([[1.0, 2.0]], 2),
        ([["1"]], 0),
    ],
)
def test_what_is_no_table_of_numbers_is_reported(rows: Any, label: int | None) -> None:
    with pytest.raises(RewardError, match=r"^it"):
        reduced(rows, "last", label, "it")


@pytest.mark.parametrize("reduce", ["mean", "min", "product"])
@pytest.mark.parametrize("rows", [[[1.0], [None]], [[None], [1.0]]])
def test_a_token_without_a_score_leaves_none(reduce: Reduce, rows: Any) -> None:
    assert math.isnan(reduced(rows, reduce, None, "it"))
    assert reduced([*rows, [2.0]], "last", None, "it") == 2.0


def test_each_paragraph_is_a_step() -> None:
    messages = stepped(chat("One.\n\nTwo,\nstill two.\n \n\nThree.\n"), "<extra_0>")
    assert messages[-1]["content"] == "One.<extra_0>Two,\nstill two.<extra_0>Three.<extra_0>"
    assert messages[0]["content"] == chat("")[0]["content"]
