"""What is ours in a prompt: the quick look finds all that the exact search finds."""

from __future__ import annotations

from unittest.mock import patch

from hypothesis import example, given, settings
from hypothesis import strategies as st

from tpo.candidate import Candidate
from tpo.messages import conversation
from tpo.prompts import PromptSet, scaffold
from tpo.prompts.leaks import clean
from tpo.prompts.scaffold import Scaffold

# Few words, so that texts share some; what marks off a word or a sentence, and what changes its length in lower case.
WORDS = st.sampled_from(["a", "B", "c's", "d", "e’f", "Σ", "ΑΣ", "İ", "answer", "1", "先", "...", "'"])
BREAKS = st.sampled_from([" ", " ", " ", ". ", "\n", "", "'", ": ", '." ', "。"])
TEXTS = st.lists(st.tuples(WORDS, BREAKS), max_size=14).map(lambda found: "".join(map("".join, found)))
# Where in a prompt an answer copies from, and how much.
COPIES = st.lists(st.tuples(st.integers(0, 200), st.integers(0, 60)), max_size=3)
always = patch.object(Scaffold, "may_be_repeated", lambda self, text: True)


@settings(deadline=None, max_examples=150)
@given(st.lists(TEXTS, min_size=1, max_size=4), st.lists(TEXTS, max_size=5), COPIES, TEXTS, st.sampled_from([1, 4, 16]))
@example(["a b c d e f g h"], ["x", " y"], [(0, 60)], "", 1)
@example(["a b c d", "e f g h"], ["", ""], [(0, 60)], "", 1)  # two values that touch
@example(["a b c d", "--"], ["e f", "g h. "], [(0, 60)], "", 1)  # a value without a word
def test_the_quick_look_finds_all_that_the_exact_search_finds(
    values: list[str], passages: list[str], copies: list[tuple[int, int]], own: str, shortest: int
) -> None:
    text = "".join(passage + values[at % len(values)] for at, passage in enumerate(passages))
    reply = own.join(text[start : start + length] for start, length in copies) + own
    prompt = {"drafts": values[:1], "more": {"others": values[1:]}}
    with patch.object(scaffold, "SHORTEST_VALUE", shortest):
        ours = Scaffold([{"role": "user", "content": values[0]}], [{"role": "user", "content": text}], prompt)
        found = clean(reply, ours)
        with always:
            assert found == clean(reply, ours)


TEMPLATED = ["Dust it first. Then wipe it with a damp cloth.", "It's fine.", "Burn it", "kept all 2 requirements"]
TEMPLATED += ["kept 1 of 2 requirements: the answer has no bullet points", ""]


@settings(deadline=None, max_examples=50)
@given(
    st.sampled_from(["update", "loss", "fused_update"]),
    st.lists(st.sampled_from(TEMPLATED), min_size=4, max_size=4),
    st.lists(st.tuples(st.integers(0, 1500), st.integers(0, 120)), max_size=3),
)
def test_the_same_in_a_rendered_prompt(name: str, texts: list[str], copies: list[tuple[int, int]]) -> None:
    chosen, rejected = Candidate("0.0", 0, texts[0], 1.0, feedback=texts[3]), Candidate("0.1", 0, texts[1], 0.0)
    query = conversation("How do I clean a wooden table?")
    prompt = PromptSet().render(name, query, chosen=chosen, rejected=rejected, loss=texts[2], gradient=texts[0])
    sent = "\n".join(message["content"] for message in prompt.messages)
    reply = " ".join([texts[0], *(sent[start : start + length] for start, length in copies)])
    assert prompt.scaffold is not None
    found = clean(reply, prompt.scaffold)
    with always:
        assert found == clean(reply, prompt.scaffold)


def test_an_answer_that_repeats_nothing_of_ours_takes_no_exact_search() -> None:
    chosen = Candidate("0.0", 0, "Dust the table first, and then wipe it with a damp cloth.", 1.0)
    query = conversation("How do I clean a wooden table?")
    prompt = PromptSet().render(
        "update", query, chosen=chosen, loss="It lacks the drying.", gradient="1. Say how to dry it."
    )
    assert prompt.scaffold is not None
    assert not prompt.scaffold.may_be_repeated(f"{chosen.text} Dry it at once. The answer to the question is water.")
    assert prompt.scaffold.may_be_repeated(f"{chosen.text} Now answer the question again, better.")
