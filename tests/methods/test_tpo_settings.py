"""The settings of tpo: contrast, history, gate, and dials by step."""

from __future__ import annotations

from typing import Any

import pytest

from tpo.candidate import Candidate
from tpo.errors import InputError
from tpo.messages import conversation
from tpo.methods import Ask, Pool, Sample, find_method
from tpo.methods.contrast import Contrast, is_useful, one_demand, rejected_by
from tpo.methods.unmet import demands
from tpo.prompts import PromptSet
from tpo.prompts.leaks import clean

QUERY = conversation("How do I clean a table?")
MISSING = "kept 1 of 3 requirements; missing: uses the word fox (it is not there); at most 20 words (it has 31)"
PARTS = {"fox": 0.0, "short": 0.0, "polite": 1.0}


def start(depth: int = 2, **own: Any) -> Any:
    method = find_method("tpo")
    settings = method.chosen_settings(own)
    return method.start(QUERY, width=2, depth=depth, prompts=PromptSet(), settings=settings, seed=1)


def step_of(step: int, *rewards: float, feedback: str | None = None, **parts: float) -> list[Candidate]:
    return [
        Candidate(f"{step}.{i}", step, f"text {step}.{i}", reward, parts, feedback) for i, reward in enumerate(rewards)
    ]


def shown(action: Sample | Ask) -> str:
    return "\n".join(message["content"] for message in action.prompt.messages)


@pytest.mark.parametrize(
    ("contrast", "rejected"), [("worst", "0.1"), ("latest", "1.0"), ("closest", "0.0"), ("minimal", "1.0")]
)
def test_the_contrast_by_hand(contrast: Contrast, rejected: str) -> None:
    pool = Pool()
    pool.add(
        [
            Candidate("0.0", 0, "a", 0.6, {"fox": 1.0, "short": 0.0, "polite": 0.0}),
            Candidate("0.1", 0, "b", 0.0, {"fox": 0.0, "short": 0.0, "polite": 0.0}),
            Candidate("1.0", 1, "c", 0.3, {"fox": 1.0, "short": 0.0, "polite": 1.0}),
            Candidate("1.1", 1, "d", 0.9, {"fox": 0.0, "short": 0.0, "polite": 1.0}),
        ]
    )
    found = rejected_by(contrast, pool, [0, 2])
    assert found is not None
    assert found.id == rejected


def test_the_latest_step_has_all_of_its_waves() -> None:
    search = start(depth=2, contrast="latest", wave=1)
    next(search)
    search.send(step_of(0, 0.5))
    assert isinstance(search.send(step_of(1, 0.0)), Ask)  # the second wave of the first step, then the loss
    search.send("loss")
    assert isinstance(search.send("gradient"), Sample)
    search.send(step_of(2, 0.1))
    loss = search.send(step_of(3, 0.2))
    assert isinstance(loss, Ask)
    # Not the worst of all, and not that of the last wave.
    assert loss.prompt.rejected == "2.0"


def test_the_step_before_is_shown_where_nothing_in_the_latest_is_worse() -> None:
    pool = Pool()
    pool.add([*step_of(0, 0.0), *step_of(1, 0.3, 0.2), *step_of(2, 0.9)])
    found = rejected_by("latest", pool, [0, 1, 3])
    assert found is not None
    assert found.id == "1.1"


@pytest.mark.parametrize("contrast", ["worst", "latest", "closest", "minimal"])
def test_nothing_worse_is_no_contrast(contrast: Contrast) -> None:
    pool = Pool()
    pool.add([Candidate("0.0", 0, "a", 0.5), Candidate("0.1", 0, "b", 0.5), Candidate("0.2", 0, "c", None)])
    assert rejected_by(contrast, pool) is None


def test_a_minimal_pair_makes_one_demand_without_a_critic() -> None:
    search = start(contrast="minimal")
    next(search)
    best = Candidate("0.0", 0, "best", 0.5, PARTS, MISSING)
    other = Candidate("0.1", 0, "other", 0.4, PARTS | {"short": 1.0, "polite": 0.0})
    update = search.send([best, other])
    assert isinstance(update, Sample)
    assert "at most 20 words" in shown(update)  # the other one keeps it, so it can be kept
    assert "uses the word fox" not in shown(update)


def test_a_demand_that_an_answer_repeats_is_a_leak_as_the_same_words_of_a_check_are() -> None:
    search = start(contrast="minimal", history=1)
    next(search)
    demand = "the answer has to hold three bullet points"
    best = Candidate("0.0", 0, "best", 0.5, feedback=f"kept 0 of 2 requirements; missing: {demand}; no comma")
    update = search.send([best, Candidate("0.1", 0, "other", 0.4)])
    leak = f"Dust it. Here {demand}. Wipe it."
    assert clean(leak, update.prompt.scaffold).leaked
    # It stands before the next demand, too, and no candidate's feedback has it then.
    better = Candidate("1.0", 1, "better", 0.9, feedback="kept 1 of 2 requirements; missing: no comma")
    update = search.send([better])
    assert demand in shown(update)
    assert clean(leak, update.prompt.scaffold).leaked
    assert clean("Dust it. Wipe it with three cloths.", update.prompt.scaffold).leaked is None


def test_demands_are_named_by_the_parts_that_failed() -> None:
    assert demands(Candidate("0.0", 0, "a", 0.5, PARTS, MISSING)) == {
        "fox": "uses the word fox (it is not there)",
        "short": "at most 20 words (it has 31)",
    }
    assert one_demand(Candidate("0.0", 0, "a", 0.5, {}, MISSING), None).startswith("uses the word fox")
    assert one_demand(Candidate("0.0", 0, "a", 0.5), None) == ""


def test_a_minimal_pair_without_words_goes_to_the_critic() -> None:
    search = start(contrast="minimal")
    next(search)
    assert search.send(step_of(0, 0.9, 0.1)).prompt.name == "loss"


def test_earlier_gradients_stand_before_the_newest() -> None:
    search = start(depth=3, history=1)
    next(search)
    wish = search.send(step_of(0, 0.9, 0.1))
    for step, gradient in enumerate(("Name a cloth.", "Dry it after.", "Say how often."), 1):
        assert isinstance(wish, Ask)
        search.send("a loss")
        update = search.send(gradient)
        texts = shown(update)
        found = [one for one in ("Name a cloth.", "Dry it after.", "Say how often.") if one in texts]
        assert (
            found
            == [["Name a cloth."], ["Name a cloth.", "Dry it after."], ["Dry it after.", "Say how often."]][step - 1]
        )
        if step < 3:
            wish = search.send(step_of(step, 0.2, 0.3))


def gated(gradient: str, feedback: str | None) -> Any:
    search = start(gate=True)
    next(search)
    search.send([Candidate("0.0", 0, "best", 0.5, PARTS, feedback), Candidate("0.1", 0, "b", 0.1)])
    search.send("a loss")
    return search.send(gradient)


def test_the_gate_follows_a_critic_that_names_what_failed() -> None:
    assert "Use the word fox once." in shown(gated("Use the word fox once.", MISSING.replace("is not there", "no")))


def test_the_gate_puts_the_rewards_words_where_the_critic_leaves_them_out() -> None:
    update = gated("Add more colourful examples.", MISSING)
    assert "uses the word fox" in shown(update)
    assert "colourful" not in shown(update)
    again = gated(" - ", None)
    assert (again.prompt.name, again.prompt.messages) == ("answer", QUERY)


@pytest.mark.parametrize(
    ("critique", "feedback", "says"),
    [
        ("", None, False),
        ("Fine.", None, False),
        ("Name a cloth.", None, True),
        ("Name a cloth.", MISSING, False),
        ("It has more than 20 words, at most that many are wanted.", MISSING, True),
        # A requirement without a longer word is not named by every critique.
        ("Fine.", "kept 0 of 2 requirements; missing: no gin; at most 20 words", False),
        ("", "kept 0 of 1 requirement; missing: no gin", False),
        ("Leave out the gin.", "kept 0 of 1 requirement; missing: no gin", True),
    ],
)
def test_the_content_of_a_critique(critique: str, feedback: str | None, says: bool) -> None:
    assert is_useful(critique, Candidate("0.0", 0, "a", 0.5, PARTS, feedback)) is says


def test_width_and_temperature_by_step() -> None:
    search = start(widths="4,2", temperatures="1.0,0.5,0.2")
    wish = next(search)
    drawn = [(wish.width, wish.temperature)]
    for step in (0, 1):
        search.send(step_of(step, 0.5 + step / 10, 0.1))
        search.send("a loss")
        wish = search.send("Name a cloth, dry it.")
        drawn.append((wish.width, wish.temperature))
    assert drawn == [(4, 1.0), (2, 0.5), (2, 0.2)]


@pytest.mark.parametrize(
    ("own", "last"),
    [({}, 1), ({"temperatures": "0,0,0,1"}, 3), ({"temperatures": "0,1"}, 1), ({"widths": "2,2,4"}, 2)],
)
def test_a_search_that_finds_nothing_new_goes_on_while_later_steps_differ(own: dict[str, str], last: int) -> None:
    search = start(depth=5, **own)
    next(search)
    search.send(step_of(0, 0.9, 0.1))
    known = [Candidate("9.0", 9, "text 0.0", 0.9)]
    for step in range(1, 6):
        search.send("a loss")
        update = search.send("Name a cloth.")
        assert isinstance(update, Sample)
        try:
            search.send(known)
        except StopIteration as end:
            assert (end.value.stop, step) == ("converged", last)
            return
    raise AssertionError("it went its whole depth")


@pytest.mark.parametrize(
    "own", [{"widths": "4,0"}, {"temperatures": "hot"}, {"contrast": "nearest"}, {"history": "-1"}, {"gate": "maybe"}]
)
def test_a_setting_that_does_not_fit_is_refused(own: dict[str, str]) -> None:
    with pytest.raises(InputError, match=f"The setting {next(iter(own))} of the method tpo"):
        find_method("tpo").chosen_settings(own)
