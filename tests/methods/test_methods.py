"""Each method, read as its algorithm: what it yields, given these answers."""

from __future__ import annotations

import pytest

from tpo.candidate import Candidate
from tpo.errors import InputError
from tpo.messages import conversation
from tpo.methods import Ask, Outcome, Sample, find_method
from tpo.prompts import PromptSet

QUERY = conversation("How do I clean a table?")
PROMPTS = PromptSet()


def candidates(step: int, **rewards: float) -> list[Candidate]:
    return [Candidate(f"{step}.{i}", step, text, reward) for i, (text, reward) in enumerate(rewards.items())]


def text(action: Sample | Ask) -> str:
    return "\n".join(message["content"] for message in action.prompt.messages)


def test_tpo_contrasts_best_and_worst_of_the_whole_pool_and_updates_by_the_gradient() -> None:
    search = find_method("tpo").start(QUERY, width=3, depth=2, prompts=PROMPTS)

    first = next(search)
    assert isinstance(first, Sample)
    assert (first.prompt.name, first.prompt.role, first.width) == ("answer", "policy", 3)
    assert first.prompt.messages == QUERY

    loss = search.send(candidates(0, wipe=0.5, burn=-1.0, scrub=0.2))
    assert isinstance(loss, Ask)
    assert (loss.prompt.name, loss.prompt.role) == ("loss", "critic")
    assert (loss.prompt.chosen, loss.prompt.rejected) == ("0.0", "0.1")
    assert "wipe" in text(loss)
    assert "burn" in text(loss)
    assert "scrub" not in text(loss)

    gradient = search.send("Burning destroys the table.")
    assert isinstance(gradient, Ask)
    assert (gradient.prompt.name, gradient.prompt.role) == ("gradient", "critic")
    assert "Burning destroys the table." in text(gradient)

    update = search.send("Say which cloth to use.")
    assert isinstance(update, Sample)
    assert (update.prompt.name, update.prompt.role, update.width) == ("update", "editor", 3)
    assert "wipe" in text(update)
    assert "Say which cloth to use." in text(update)
    assert update.prompt.read("<improved_answer>\nSoft cloth.\n</improved_answer>") == "Soft cloth."

    second_loss = search.send(candidates(1, cloth=0.9, sponge=-0.5, wipe_softly=0.1))
    assert isinstance(second_loss, Ask)
    # The worst is still the worst of everything seen, not of the last step.
    assert (second_loss.prompt.chosen, second_loss.prompt.rejected) == ("1.0", "0.1")
    search.send("loss")
    search.send("gradient")
    with pytest.raises(StopIteration) as end:
        search.send(candidates(2, worse=-3.0, also_worse=-4.0))
    assert end.value.value == Outcome(Candidate("1.0", 1, "cloth", 0.9), "depth")


def test_tpo_stops_when_a_whole_step_brings_nothing_new() -> None:
    search = find_method("tpo").start(QUERY, width=2, depth=5, prompts=PROMPTS)
    next(search)
    search.send(candidates(0, wipe=0.5, burn=-1.0))
    search.send("loss")
    search.send("gradient")
    with pytest.raises(StopIteration) as end:
        search.send(candidates(1, burn=-1.0, wipe=0.5))
    assert end.value.value.stop == "converged"
    assert end.value.value.chosen.id == "0.0"


@pytest.mark.parametrize("rewards", [{"only": 1.0}, {"one": 2.0, "two": 2.0}])
def test_tpo_criticises_the_best_answer_alone_where_nothing_is_worse(rewards: dict[str, float]) -> None:
    search = find_method("tpo").start(QUERY, width=len(rewards), depth=1, prompts=PROMPTS)
    next(search)
    loss = search.send(candidates(0, **rewards))
    assert isinstance(loss, Ask)
    assert (loss.prompt.name, loss.prompt.chosen, loss.prompt.rejected) == ("revision_loss", "0.0", None)


def test_tpo_fused_updates_by_one_reply_that_is_critique_and_advice() -> None:
    search = find_method("tpo-fused").start(QUERY, width=2, depth=2, prompts=PROMPTS)
    first = next(search)
    assert isinstance(first, Sample)
    assert first.prompt.messages == QUERY

    critique = search.send(candidates(0, wipe=0.5, burn=-1.0))
    assert isinstance(critique, Ask)
    assert (critique.prompt.name, critique.prompt.role) == ("fused_loss", "critic")
    assert (critique.prompt.chosen, critique.prompt.rejected) == ("0.0", "0.1")
    assert "wipe" in text(critique)
    assert "burn" in text(critique)

    update = search.send("Burning destroys the table.\n1. Name a cloth.")
    assert isinstance(update, Sample)
    assert (update.prompt.name, update.prompt.role, update.width) == ("fused_update", "editor", 2)
    assert update.prompt.messages[: len(critique.prompt.messages)] == critique.prompt.messages
    assert "1. Name a cloth." in text(update)

    again = search.send(candidates(1, cloth=0.9, sponge=0.1))
    assert isinstance(again, Ask)
    assert (again.prompt.chosen, again.prompt.rejected) == ("1.0", "0.1")
    search.send("2. Dry it.")
    with pytest.raises(StopIteration) as end:
        search.send(candidates(2, burn=-1.0))
    assert end.value.value == Outcome(Candidate("1.0", 1, "cloth", 0.9), "converged")


def test_tpo_fused_looks_at_the_best_answer_alone_where_nothing_is_worse() -> None:
    search = find_method("tpo-fused").start(QUERY, width=1, depth=1, prompts=PROMPTS)
    next(search)
    critique = search.send(candidates(0, only=1.0))
    assert isinstance(critique, Ask)
    assert (critique.prompt.chosen, critique.prompt.rejected) == ("0.0", None)
    assert "Answer 1" not in text(critique)
    assert "Answer 2" not in text(critique)


def test_revision_never_shows_a_rejected_answer() -> None:
    search = find_method("revision").start(QUERY, width=2, depth=1, prompts=PROMPTS)
    first = next(search)
    assert isinstance(first, Sample)
    loss = search.send(candidates(0, wipe=0.5, burn=-1.0))
    gradient = search.send("It names no cloth.")
    update = search.send("Name a cloth.")
    for action in (loss, gradient, update):
        assert isinstance(action, Ask | Sample)
        assert (action.prompt.chosen, action.prompt.rejected) == ("0.0", None)
        assert "wipe" in text(action)
        assert "burn" not in text(action)
    assert isinstance(update, Sample)
    assert update.width == 2
    with pytest.raises(StopIteration) as end:
        search.send(candidates(1, cloth=0.9, sponge=0.1))
    assert end.value.value.chosen.id == "1.0"


def test_best_of_n_samples_once_and_keeps_the_best() -> None:
    search = find_method("best-of-n").start(QUERY, width=3, depth=7, prompts=PROMPTS)
    first = next(search)
    assert isinstance(first, Sample)
    assert first.width == 3
    with pytest.raises(StopIteration) as end:
        search.send(candidates(0, wipe=0.5, burn=-1.0, scrub=0.7))
    assert end.value.value == Outcome(Candidate("0.2", 0, "scrub", 0.7), "depth")


def test_depth_zero_of_tpo_is_exactly_best_of_n() -> None:
    answers = candidates(0, wipe=0.5, burn=-1.0, scrub=0.7)
    yielded, outcomes = [], []
    for name in ("tpo", "best-of-n"):
        search = find_method(name).start(QUERY, width=3, depth=0, prompts=PROMPTS)
        action = next(search)
        assert isinstance(action, Sample)
        yielded.append((action.prompt.messages, action.width))
        with pytest.raises(StopIteration) as end:
            search.send(answers)
        outcomes.append(end.value.value)
    assert yielded[0] == yielded[1]
    assert outcomes[0] == outcomes[1]


def test_sample_draws_one_answer_and_needs_no_reward() -> None:
    method = find_method("sample")
    assert not method.needs_reward
    search = method.start(QUERY, width=9, depth=9, prompts=PROMPTS)
    first = next(search)
    assert isinstance(first, Sample)
    assert first.width == 1
    with pytest.raises(StopIteration) as end:
        search.send([Candidate("0.0", 0, "wipe")])
    assert end.value.value.chosen.text == "wipe"


def test_an_unknown_method_is_named_with_its_nearest_neighbour() -> None:
    with pytest.raises(InputError, match=r"'best-of-m'.*tpo, tpo-fused, revision, best-of-n, sample.*best-of-n"):
        find_method("best-of-m")


@pytest.mark.parametrize(("width", "depth"), [(0, 2), (-1, 2), (10**9, 2), (5, -1), (5, 10**9)])
def test_dials_out_of_range_are_refused(width: int, depth: int) -> None:
    with pytest.raises(InputError, match="it must be from"):
        find_method("tpo").dials(width, depth)


def test_a_round_of_failures_is_no_convergence() -> None:
    search = find_method("rsa").start(QUERY, width=1, depth=2, prompts=PROMPTS)
    next(search)
    search.send([Candidate("0.0", 0, "table", 0.5)])
    search.send([[Candidate("1.0", 1, "", None, error="the answer is empty")]])
    with pytest.raises(StopIteration) as end:
        search.send([[Candidate("2.0", 2, "a table", 0.7)]])
    assert (end.value.value.chosen.text, end.value.value.stop) == ("a table", "depth")


def test_a_step_of_failures_is_no_convergence() -> None:
    search = find_method("tpo").start(QUERY, width=1, depth=2, prompts=PROMPTS)
    next(search)
    search.send([Candidate("0.0", 0, "table", 0.5)])
    for step in (1, 2):
        search.send("a loss")
        search.send("a gradient")
        empty = [Candidate(f"{step}.0", step, "", None, error="the answer is empty")]
        if step == 1:
            search.send(empty)
    with pytest.raises(StopIteration) as end:
        search.send(empty)
    assert end.value.value.stop == "depth"
