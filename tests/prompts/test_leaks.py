"""Words of ours in an answer: cut at its ends, marked inside, and innocent answers left as they are."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tpo.candidate import Candidate
from tpo.messages import conversation
from tpo.prompts import Prompt, PromptSet, leaks
from tpo.prompts.leaks import Cleaned

GOOD = Candidate("0.0", 0, "Wipe it with a soft cloth.", 1.0, feedback="kept all 2 requirements")
BAD = Candidate("0.1", 0, "Burn it.", 0.0, feedback="kept 1 of 2 requirements: the answer has no bullet points")
LACKING = Candidate("0.2", 0, "Wipe it.", 0.5, feedback="missing: bullet points with a cloth of linen")
QUERY = conversation("How do I clean a wooden table?")
REAL = "Dust it first. Then wipe it with a damp cloth."


def clean(text: str, prompt: Prompt) -> Cleaned:
    """As the engine does it."""
    return leaks.clean(text, prompt.scaffold, whole=prompt.role == "editor")


def update(query: str = "How do I clean a wooden table?", folder: None = None) -> Prompt:
    replies: dict[str, Any] = {
        "loss": "It names a cloth and the other would destroy the table.",
        "gradient": "1. Say how to dry it.",
    }
    return PromptSet(folder).render("update", conversation(query), chosen=GOOD, rejected=BAD, **replies)


# Replies that end or begin in words of ours, or talk about answers: the real answer alone is left.
AROUND = [
    f"{REAL} A check of Answer 2 says: kept all 2 requirements",
    f"{REAL}\n\nA check of Answer 2 says: kept all 2 requirements",
    f"{REAL}\nA check of Answer 1 says: kept 1 of 2 requirements: the answer has no bullet points",
    f"{REAL} (A check of Answer 2 says: kept all 2 requirements)",
    f"{REAL} Answer 2 is better than Answer 1.",
    f"{REAL}\n\nAnswer 2 is better than Answer 1. Explain in two or three sentences why.",
    f"{REAL} Your answer is better than the original answer.",
    f"{REAL}\n\nThis improved answer is clearer than the original answer.",
    f"{REAL} The improved answer follows the instructions.",
    f"{REAL} Write up to three short instructions for improving the better answer, as a numbered list.",
    f"{REAL} Do not write the answer itself.",
    f"{REAL}\n1 of 2 requirements: the answer has no bullet points",
    f"1 of 2 requirements: the answer has no bullet points.\n{REAL}",
    f"{REAL}\n\nNow answer the question again, better: follow the instructions.",
    f"Now answer the question again, better: follow the instructions.\n\n{REAL}",
    f"You review answers and give honest, specific criticism.\n{REAL}",
    f"Question:\nHow do I clean a wooden table?\n\n{REAL}",
    f"Answer 2:\n{REAL}",
    f"Answer 1:\n{REAL}",
    f"**Answer 2:**\n{REAL}",
    f"{REAL}\n\nI have followed the instructions.",
    f"{REAL} I've incorporated all of your feedback.",
    f"{REAL} I have addressed the criticism.",
    f"Here is a better version of the answer.\n{REAL}",
    f"Based on the feedback, I will write again.\n{REAL}",
    f"{REAL} The revised answer is shorter than the previous answer.",
    f"{REAL}\n\nYour response is clear.",
    f"{REAL} The answer has been improved by naming a cloth.",
    f"{REAL} This answer addresses all points.",
    f"{REAL}\nAnswer 2 is better because it names a cloth.",
    f"{REAL} Your answer could be shorter.",
    f"The original answer is kept and made better.\n{REAL}",
    f"Also mend what a check of the answer found: kept all 2 requirements\n{REAL}",
    f"{REAL}\n\nExplain in two or three sentences why, and say what is still wrong with Answer 2 or missing from it.",
]
# Nothing is left of these.
ALL_OURS = [
    "Your answer is better than the original answer.",
    "I'm ready to help you with that!",
    "I am ready to help you with that. What would you like to know?",
    "Answer 2 is better than Answer 1.",
    "A check of Answer 2 says: kept all 2 requirements",
    "Now answer the question again, better: follow the instructions.",
    "The improved answer is better than the original answer. It follows the instructions.",
    "You review answers and give honest, specific criticism.",
    "Write up to three short instructions for improving the better answer, as a numbered list.",
    "Answer 1:\nAnswer 2:",
    "Do not write the answer itself.",
]
# Our words stand inside: nothing can be cut, the answer is marked.
INSIDE = [
    "Dust it first. Answer 2 is better than Answer 1. Then wipe it with a damp cloth.",
    "Dust it first.\nA check of Answer 2 says: kept all 2 requirements\nThen wipe it with a damp cloth.",
    "Dust it first. Your answer is better than the original answer. Then wipe it with a damp cloth.",
    "Dust it first. Do not write the answer itself. Then wipe it with a damp cloth.",
]
INNOCENT = [
    REAL,
    "42",
    "The answer is 42.",
    "The answer to your question is yes.",
    "The answer is clear: use a cloth.",
    "A short answer: a damp cloth.",
    "In short, the answer depends on the wood.",
    "Follow the instructions on the label.",
    "Follow the instructions provided by the manufacturer.",
    "Read the instructions first. Then wipe.",
    "1. Name a cloth.\n2. Wipe.\n3. Dry it.",
    "Question: is it oiled? If so, use oil.",
    "Wipe it with a soft cloth. Then dry it.",
    "Wipe it with a soft cloth.",
    "How do I clean a wooden table? With a damp cloth.",
    "To clean a wooden table, dust it first.",
    "I'd be happy to help you with that! Dust it first.",
    "I'm happy to help! Dust it, then wipe it.",
    "Sure, here is how: dust it first.",
    "A check of the surface shows whether it is oiled.",
    "There are two or three ways to do that.",
    "What is wrong with it? Perhaps it is only dusty.",
    "Use a better cloth than the original one.",
    "The updated version of the table has a lacquer.",
    "The original finish may be better than a new one.",
    "Write down which oil you used, as a numbered list if you like.",
    "The question is which wood it is.",
    "Nothing else is needed.",
    "Use water, and nothing else.",
    "It is better than burning it.",
    "Your table is oiled if water forms beads.",
    "Your question has a short answer.",
    "Ask the seller; their response is usually quick.",
    "The response of the wood to water is swelling.",
    "```\nwipe --cloth soft\n```\nThat is all.",
    "Oil it. Let it dry for 3.5 hours. Done!",
    "Criticism of such oils is common.",
    "| step | what |\n| --- | --- |\n| 1 | dust |",
    "先に埃を払います。次に湿った布で拭きます。",
    "  Dust it.\n\n\nWipe it.  ",
    "You should answer the door before cleaning it.",
    "I have nothing against oil.",
    "Dust it first. That meets 1 of 2 requirements: it has no bullet points.",
    "Kept dry, it lasts. Follow these steps: dust, wipe, dry.",
]


@pytest.mark.parametrize("reply", AROUND)
def test_words_of_ours_around_an_answer_are_cut(reply: str) -> None:
    assert clean(reply, update()) == (REAL, None)


@pytest.mark.parametrize("reply", ALL_OURS)
def test_nothing_is_left_of_a_reply_that_holds_only_words_of_ours(reply: str) -> None:
    cleaned = clean(reply, update())
    assert cleaned.text == ""
    assert cleaned.leaked


@pytest.mark.parametrize("reply", INSIDE)
def test_an_answer_with_words_of_ours_inside_is_marked(reply: str) -> None:
    cleaned = clean(reply, update())
    assert cleaned.text == reply
    assert cleaned.leaked


@pytest.mark.parametrize("reply", INNOCENT)
def test_an_innocent_answer_is_left_as_it_is(reply: str) -> None:
    assert clean(reply, update()) == (reply, None)


@pytest.mark.parametrize(
    ("query", "reply"),
    [
        ("Is Answer 1 better than Answer 2?", "Answer 2 is shorter."),
        ("Rate my answer: 2+2=5. Is your answer the same?", "Your answer is wrong: 2+2=4."),
        ("What is the original answer to life?", "The original answer is 42."),
        (
            "Explain in two or three sentences why grass is green.",
            "Explain in two or three sentences why grass is green.",
        ),
        ("Say: do not write the answer itself", "Do not write the answer itself."),
    ],
)
def test_words_of_the_query_are_no_leak(query: str, reply: str) -> None:
    assert clean(reply, update(query)) == (reply, None)


@pytest.mark.parametrize(
    "reply", ["Kept 1 of 2 requirements: the answer has no bullet points.", "of 2 requirements: the answer has"]
)
def test_the_rewards_words_about_the_answer_are_ours(reply: str) -> None:
    assert clean(reply, update()).text == ""
    assert clean(f"{REAL} {reply}", update()) == (REAL, None)
    assert clean(reply, update(f"Repeat this: {reply}")) == (reply, None)
    assert clean(reply, update("What is the answer?")) == (reply, reply)


@pytest.mark.parametrize("reply", ["Missing: bullet points with a cloth.", "bullet points with a cloth of linen"])
def test_an_answer_that_is_nothing_but_what_the_reward_said_is_marked(reply: str) -> None:
    prompt = PromptSet().render("update", QUERY, chosen=LACKING, rejected=BAD, loss="None.", gradient="1. Dry it.")
    assert clean(reply, prompt) == (reply, reply)
    assert clean(f"{REAL} {reply}", prompt).leaked is None


def test_an_answer_that_was_shown_with_words_of_ours_excuses_no_other() -> None:
    leak = "Do not write the answer itself."
    worse = Candidate("0.3", 0, f"Dust the whole of it first. {leak} Then oil it well.", 0.0, leaked=leak)
    replies: dict[str, Any] = {"loss": "It is clear.", "gradient": "1. Say how to dry it."}
    prompt = PromptSet().render("update", QUERY, chosen=GOOD, rejected=worse, **replies)
    assert clean(f"Wipe it. {leak} Dry it.", prompt).leaked
    # What it holds besides is its own.
    reply = "Dust the whole of it first. Wipe it. Then oil it well."
    assert clean(reply, prompt) == (reply, None)
    quoting = PromptSet().render("update", conversation(f"Say: {leak}"), chosen=GOOD, rejected=worse, **replies)
    assert clean(f"Wipe it. {leak} Dry it.", quoting).leaked is None


def test_the_plain_question_has_no_words_of_ours() -> None:
    prompt = PromptSet().render("answer", QUERY)
    assert prompt.scaffold is None
    assert clean("Answer 2 is better than Answer 1.", prompt).leaked is None


PIECES = st.sampled_from([*AROUND, *ALL_OURS, *INSIDE, *INNOCENT]) | st.text(max_size=40)


@settings(deadline=None, max_examples=200)
@given(st.lists(PIECES, max_size=4).map("\n".join), st.text(max_size=60))
def test_cleaning_never_fails_never_adds_and_is_settled_after_once(reply: str, question: str) -> None:
    prompt = update(question if question.strip() else "How?")
    cleaned = clean(reply, prompt)
    assert cleaned.text in reply
    again = clean(cleaned.text, prompt)
    assert again.text in cleaned.text
    assert again.text == cleaned.text
