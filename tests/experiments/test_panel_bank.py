"""benchmarks/panel_bank.py: a panel's answers and wins, by hand."""

from __future__ import annotations

from types import ModuleType

import pytest

from scripts import script
from tpo.experiments.outcomes import CandidateOutcome


@pytest.fixture(scope="module")
def panel_bank() -> ModuleType:
    return script("benchmarks/panel_bank.py")


def test_no_member_has_all_ties_and_odd_answers(panel_bank: ModuleType) -> None:
    banks = {member: [CandidateOutcome(0, 0.5, 10, 40)] * 2 for member in ("a", "b")}
    found = panel_bank.brought(banks, ["a", "b"], 3, None)
    assert found.wins == pytest.approx({"a": 0.5, "b": 0.5})
    assert found.tokens == pytest.approx({"a": 15, "b": 15})


def test_the_best_is_chosen_whoever_begins(panel_bank: ModuleType) -> None:
    banks = {"a": [CandidateOutcome(0, 0.5, 10, 40)], "b": [CandidateOutcome(0, 1.0, 20, 40)]}
    found = panel_bank.brought(banks, ["a", "b"], 2, 1.0)
    assert found.wins == pytest.approx({"a": 0.0, "b": 1.0})
    # Where the second begins, the first draws nothing.
    assert found.tokens == pytest.approx({"a": 5, "b": 20})
