"""restate, words, fusion, rsa and feedback-descent, by the examples of their papers that can be counted by hand."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest

import tpo
from fakes import FakeModel, FakeReward, said
from tpo.candidate import Candidate
from tpo.engine.records import Replied
from tpo.messages import conversation
from tpo.methods import Ask, Outcome, Reply, Sample, find_method
from tpo.methods.unmet import unmet
from tpo.models.protocol import Request
from tpo.prompts import PromptSet
from tpo.rewards.protocol import Score

QUERY = conversation("How do I clean a table?")
PROMPTS = PromptSet()
FOX = "kept 1 of 2 requirements; missing: uses the word fox"


def start(name: str, width: int = 3, depth: int = 2, **own: Any) -> Any:
    return find_method(name).start(QUERY, width=width, depth=depth, prompts=PROMPTS, settings=own, seed=7)


def drawn(step: int, *texts: str, reward: float = 0.5, feedback: str | None = None) -> list[Candidate]:
    return [Candidate(f"{step}.{i}", step, text, reward - i / 100, feedback=feedback) for i, text in enumerate(texts)]


def last(action: Any) -> str:
    return str(action.prompt.messages[-1]["content"])


def end_of(send: Callable[[], Any]) -> Outcome:
    with pytest.raises(StopIteration) as end:
        send()
    outcome: Outcome = end.value.value
    return outcome


@pytest.mark.parametrize(
    ("feedback", "missing"),
    [
        (FOX, "uses the word fox"),
        ("kept all 2 requirements", ""),
        ("kept the requirement", ""),
        ("followed all 3 instructions", ""),
        ("kept all 2 requirements. It names no cloth.", "It names no cloth."),
        ("It names no cloth.", "It names no cloth."),
        # Rules before a reward, and a sum of rewards: each reports.
        (f"{FOX}. followed 0 of 1 instruction; missing: no commas", "uses the word fox; no commas"),
        (f"{FOX}. followed all 3 instructions", "uses the word fox"),
        (f"{FOX}\nkept the requirement\nIt names no cloth.", "uses the word fox; It names no cloth."),
        (f"kept all 2 requirements\n{FOX}", "uses the word fox"),
        (f"{FOX}. It names no cloth.", "uses the word fox. It names no cloth."),
        ("You kept the requirement of rhyme.", "You kept the requirement of rhyme."),
        # Praise of a verifier is nothing that is missing, beside another reward's words either.
        ("the final answer is right", ""),
        ("passed all 3 tests", ""),
        ("passed the test", ""),
        (f"{FOX}. the final answer is right", "uses the word fox"),
        (f"the JSON keeps the schema\n{FOX}", "uses the word fox"),
        ("passed 2 of 3 tests; failed: f(1): missing: 'a'; f(2): 3 is no 4", "f(1): missing: 'a'; f(2): 3 is no 4"),
        ("passed 0 of 3 tests; the code does not run: no def", "the code does not run: no def"),
        ("missing: a match for the expected pattern (it has none)", "a match for the expected pattern (it has none)"),
        (None, ""),
    ],
)
def test_what_is_missing_is_read_off_the_feedback(feedback: str | None, missing: str) -> None:
    assert unmet(Candidate("0.0", 0, "a", 0.5, feedback=feedback)) == missing


def test_restate_puts_the_requirement_beside_the_question_and_shows_no_answer() -> None:
    search = start("restate")
    assert next(search).prompt.messages == QUERY
    again = search.send(drawn(0, "wipe", "scrub", feedback=FOX))
    assert isinstance(again, Sample)
    assert (again.prompt.role, again.width, again.prompt.chosen) == ("policy", 3, "0.0")
    assert len(again.prompt.messages) == 1
    assert "How do I clean a table?" in last(again)
    assert "uses the word fox" in last(again)
    assert "wipe" not in last(again)
    outcome = end_of(lambda: search.send(drawn(1, "a fox", reward=1.0, feedback="kept all 2 requirements")))
    assert (outcome.chosen.text, outcome.stop) == ("a fox", "enough")


def test_words_goes_on_with_the_conversation_and_calls_no_critic() -> None:
    search = start("words")
    next(search)
    again = search.send(drawn(0, "wipe", "scrub", feedback=FOX))
    assert isinstance(again, Sample)
    assert [message["role"] for message in again.prompt.messages] == ["user", "assistant", "user"]
    assert again.prompt.messages[1]["content"] == "wipe"
    assert "uses the word fox" in last(again)
    # A step without anything new ends the search.
    assert end_of(lambda: search.send(drawn(1, "wipe", feedback=FOX))).stop == "converged"


@pytest.mark.parametrize("name", ["restate", "words"])
async def test_a_check_that_wants_a_fox_gets_one_at_step_1_without_a_critic(name: str) -> None:
    def policy(request: Request, index: int) -> str:
        return f"A fox, {index}." if "uses the word fox" in said(request) else f"Wipe it {index}."

    def check(text: str) -> Score:
        return Score(1.0, {}, "kept all 2 requirements") if "fox" in text else Score(0.5, {}, FOX)

    critic = FakeModel(lambda request, index: "no critic is called")
    result = await tpo.align(
        "How?", policy=FakeModel(policy), critic=critic, reward=FakeReward(check), method=name, width=2, depth=3
    )
    assert (result.answer, result.stop, len(result.steps)) == ("A fox, 0.", "enough", 2)
    assert not critic.requests
    assert not [record for record in result.trace if isinstance(record, Replied)]


def test_fusion_shows_each_draft_once_in_an_order_of_its_own_and_keeps_the_best() -> None:
    search = start("fusion", merges=2, drafts=2, temperature=0.2)
    assert next(search).width == 3
    merge = search.send(drawn(0, "first draft", "second draft", "third draft"))
    assert isinstance(merge, Sample)
    assert (merge.prompt.role, merge.width, merge.temperature) == ("editor", 2, 0.2)
    assert [last(merge).count(text) for text in ("first draft", "second draft", "third draft")] == [1, 1, 0]
    # A merge that is worse than a draft is not the answer.
    assert end_of(lambda: search.send(drawn(1, "mush", reward=0.1))).chosen.text == "first draft"


def test_fusion_with_an_editor_that_joins_one_marked_sentence_of_each_draft() -> None:
    search = start("fusion")
    next(search)
    drafts = ["Idle. *Wipe.*", "*Scrub.* Idle.", "*Dry.*"]
    merge = search.send(drawn(0, *drafts))
    joined = " ".join(re.findall(r"\*\w+\.\*", last(merge)))
    assert sorted(joined.split()) == ["*Dry.*", "*Scrub.*", "*Wipe.*"]  # each draft stands there once
    assert end_of(lambda: search.send(drawn(1, joined, reward=3.0))).chosen.text == joined
    alone = start("fusion", width=1)
    next(alone)
    assert end_of(lambda: alone.send(drawn(0, "one"))).chosen.text == "one"


def test_fusion_compares_first_where_it_is_to_and_merges_nothing_that_is_alone() -> None:
    search = start("fusion", analysis=True)
    next(search)
    compare = search.send(drawn(0, "a", "b"))
    assert isinstance(compare, Ask)
    assert compare.prompt.role == "critic"
    assert "They agree." in last(search.send(Reply("They agree.", 3)))
    alone = start("fusion")
    next(alone)
    assert end_of(lambda: alone.send(drawn(0, "a", "a"))).stop == "converged"


def test_rsa_makes_each_round_of_the_round_before() -> None:
    search = start("rsa", width=4, depth=2, subset=2)
    count = next(search).width
    second = search.send(drawn(0, "old-a", "old-b", "old-c", "old-d"))
    count += sum(action.width for action in second)
    third = search.send([drawn(1, f"new-{i}") for i in range(4)])
    count += sum(action.width for action in third)
    assert count == 12
    assert all(last(action).count("old-") == 2 for action in second)
    assert all(last(action).count("new-") == 2 and "old-" not in last(action) for action in third)
    whole = start("rsa", width=3, depth=1, subset=3)
    next(whole)
    prompts = {frozenset(last(action).split()) for action in whole.send(drawn(0, "a1", "b1", "c1"))}
    assert len(prompts) == 1


def test_feedback_descent_forgets_failed_tries_with_every_win() -> None:
    search = start("feedback-descent", width=1, depth=5)
    next(search)
    edit = search.send(drawn(0, "champion", reward=0.5))
    seen = [last(edit).count("would have made it better")]
    for step, reward in ((1, 0.6), (2, 0.1), (3, 0.2)):  # a win, two losses
        edit = search.send([Candidate(f"{step}.0", step, f"try {step}", reward)])
        if isinstance(edit, Ask):
            assert edit.prompt.role == "critic"
            edit = search.send(Reply("Name a cloth.", 4))
        seen.append(last(edit).count("would have made it better"))
    edit = search.send([Candidate("4.0", 4, "try 4", 0.9)])  # a win
    seen.append(last(edit).count("would have made it better"))
    assert seen == [0, 0, 1, 2, 0]
    assert "try 4" in last(edit)
