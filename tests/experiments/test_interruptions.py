"""What an interruption made a search write again, by hand."""

from __future__ import annotations

from tpo.engine.records import CALL_CUT_SHORT, Called, Record, Resumed, Sampled
from tpo.experiments.interruptions import written_again
from tpo.models.protocol import Usage

USERS = ("policy", "critic")


def called(action: int, completion: int, *, role: str = "policy", cut: bool = False) -> Called:
    usage = Usage(prompt_tokens=7, completion_tokens=completion)
    return Called(0, action, role, 0.0, 1.0, usage, error=CALL_CUT_SHORT if cut else None)


def sampled(index: int, tokens: int, finish_reason: str = "stop") -> Sampled:
    return Sampled(0, 0, index, 0, f"0.{index}", "text", finish_reason, tokens)


RESUMED = Resumed(1.0, "2026-11-29T00:00:00+00:00")


def test_answers_that_landed_are_kept_and_the_rest_of_their_call_is_written_again() -> None:
    # Three answers in one call: one landed with 10 tokens, of the others 25 were written.
    before: list[Record] = [sampled(0, 10), sampled(1, 15, "interrupt"), called(0, 35, cut=True)]
    after: list[Record] = [sampled(1, 20), sampled(2, 20), called(0, 40)]
    assert written_again([*before, RESUMED, *after], USERS) == (25, 7)


def test_nothing_is_written_again_without_an_interruption() -> None:
    # A budget cuts a call short as well, and what that wrote is the method's.
    assert written_again([sampled(0, 10), called(0, 35, cut=True)], USERS) == (0, 0)
    assert written_again([sampled(0, 10), called(0, 10), RESUMED, called(1, 50)], USERS) == (0, 0)


def test_a_critique_that_was_cut_off_and_other_roles() -> None:
    records: list[Record] = [sampled(0, 10), called(0, 10), called(1, 30, role="critic", cut=True)]
    assert written_again([*records, RESUMED, called(1, 50, role="critic")], USERS) == (30, 7)
    assert written_again([*records, RESUMED], ("policy",)) == (0, 0)
    # Twice interrupted.
    assert written_again([*records, RESUMED, called(1, 20, role="critic", cut=True), RESUMED], USERS) == (50, 14)
