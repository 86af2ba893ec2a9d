"""IFEval: strict and loose, by prompt and by instruction."""

from __future__ import annotations

import json

import pytest

from evals.kit import data
from tpo.errors import InputError
from tpo.evals.benchmarks.ifeval import FollowedCounts, accuracy, followed

ROW = {
    "key": 7,
    "instruction_id_list": ["punctuation:no_comma", "startend:quotation"],
    "kwargs": [{}, {}],
}


@pytest.mark.parametrize(
    ("response", "strict", "loose"),
    [
        ('"No mark here"', (True, True), (True, True)),
        ('Sure, here it is:\n"No mark here"', (False, False), (True, True)),
        ('*"No mark here"*', (True, False), (True, True)),
        ('Well:\n*"No mark"*\nI hope, it helps.', (False, False), (True, True)),
        ('"One, two"', (False, True), (False, True)),
        ("", (False, False), (False, False)),
    ],
)
def test_strict_and_loose(response: str, strict: tuple[bool, ...], loose: tuple[bool, ...]) -> None:
    assert followed(response, ROW) == (("punctuation:no_comma", "startend:quotation"), strict, loose)


def test_accuracy_by_prompt_and_instruction() -> None:
    found = accuracy(
        [
            FollowedCounts(("a", "b"), (True, False), (True, True)),
            FollowedCounts(("a",), (True,), (True,)),
            FollowedCounts(("b",), (False,), (False,)),
        ]
    )
    assert found.prompt_strict.value == pytest.approx(100 / 3)
    assert found.instruction_strict.value == 50
    assert found.prompt_loose.value == pytest.approx(200 / 3)
    assert found.instruction_loose.value == 75
    assert found.by_kind == {"a": (100, 100), "b": (0, 50)}
    with pytest.raises(InputError):
        accuracy([])


def test_every_published_row_is_read_and_loose_is_never_harder() -> None:
    (file,) = data("ifeval").glob("*.jsonl")
    rows = [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]
    response = "Sure!\n\n* **First**, my answer.\n* Second.\n\nP.S. [name] hope this helps."
    results = [followed(response, row) for row in rows]
    assert len(results) == 441
    assert all(after >= before for one in results for before, after in zip(one.strict, one.loose, strict=True))
    found = accuracy(results)
    assert found.prompt_strict.value <= found.instruction_strict.value <= found.instruction_loose.value


def test_a_row_that_cannot_be_used_is_reported() -> None:
    with pytest.raises(InputError, match="row 7 of IFEval cannot be used: the instruction 'x:y' is unknown"):
        followed("Hello", ROW | {"instruction_id_list": ["x:y", "startend:quotation"]})
