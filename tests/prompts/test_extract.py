"""Reading replies: from the asked-for format down to junk."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tpo.prompts.extract import read_answer, without_reasoning

TAGS = ("improved_answer", "IMPROVED_VARIABLE")


@pytest.mark.parametrize(
    ("reply", "answer"),
    [
        ("<improved_answer>Wipe it.</improved_answer>", "Wipe it."),
        ("Of course!\n<improved_answer>\nWipe it.\n</improved_answer>\nAnything else?", "Wipe it."),
        ("<IMPROVED_VARIABLE>Wipe it.</IMPROVED_VARIABLE>", "Wipe it."),
        ("<Improved_Answer>Wipe it.</improved_answer>", "Wipe it."),
        # a missing end tag, a missing start tag
        ("<improved_answer>Wipe it, then", "Wipe it, then"),
        ("Here is the improved answer:\nWipe it.</improved_answer>", "Wipe it."),
        # a draft and a final version
        ("<improved_answer>Draft.</improved_answer> Better:<improved_answer>Final.</improved_answer>", "Final."),
        # the instruction echoed before the answer
        ("Between <improved_answer>...</improved_answer>\nWipe it with a soft cloth.", "Wipe it with a soft cloth."),
        # tags that the answer is about
        (
            "<improved_answer>Write <improved_answer>x</improved_answer> like so.</improved_answer>",
            "Write <improved_answer>x</improved_answer> like so.",
        ),
        (
            "Use the tag:\n```xml\n<improved_answer>x</improved_answer>\n```\nThat is all.",
            "Use the tag:\n```xml\n<improved_answer>x</improved_answer>\n```\nThat is all.",
        ),
        (
            "<improved_answer>See:\n```\n</improved_answer>\n```\nDone.</improved_answer>",
            "See:\n```\n</improved_answer>\n```\nDone.",
        ),
        ("```\n<improved_answer>Wipe it.</improved_answer>\n```", "Wipe it."),
        # code within a line opens no block of code
        ("<improved_answer>\n```f()``` is it.\n</improved_answer>\nDone.", "```f()``` is it."),
        # no tags: preamble, label, fence
        ("Here is the improved answer:\n\nWipe it.", "Wipe it."),
        ("Sure! Here's a revised version of the answer:\nWipe it.", "Wipe it."),
        ("**Improved Answer:**\nWipe it.", "Wipe it."),
        ("Wipe it.\nHere is the answer: dry it.", "Wipe it.\nHere is the answer: dry it."),
        ("```text\nWipe it.\n```", "Wipe it."),
        ("```python\nprint(1)\n```", "```python\nprint(1)\n```"),
        # nothing
        ("", ""),
        ("   ", ""),
        ("<improved_answer></improved_answer>", ""),
        # reasoning
        ("<think>Hm, <improved_answer>no</improved_answer></think><improved_answer>Yes.</improved_answer>", "Yes."),
    ],
)
def test_the_answer_is_found(reply: str, answer: str) -> None:
    assert read_answer(reply, tags=TAGS) == answer


@pytest.mark.parametrize(
    ("reply", "rest"),
    [
        ("<think>Let me see.</think>\n\nWipe it.", "Wipe it."),
        ("<thinking>a</thinking><think>b</think>Wipe it.", "Wipe it."),
        ("<think>never closed", ""),
        ("the template opened the block\n</think>\n\nWipe it.", "Wipe it."),
        ("Wipe it. <think> is a tag.", "Wipe it. <think> is a tag."),
        ("Close it with `</think>` like so.", "Close it with `</think>` like so."),
        ("```\n</think>\n```\nis code", "```\n</think>\n```\nis code"),
        ("  spaces stay  ", "  spaces stay  "),
    ],
)
def test_reasoning_is_left_out(reply: str, rest: str) -> None:
    assert without_reasoning(reply) == rest


PIECES = st.sampled_from(
    [
        "<improved_answer>",
        "</improved_answer>",
        "<IMPROVED_VARIABLE>",
        "<think>",
        "</think>",
        "```",
        "`",
        "\n",
        "Here is the answer:",
        "…",
    ]
)


@given(st.lists(PIECES | st.text(max_size=20), max_size=12).map("".join))
def test_nothing_raises_and_nothing_is_made_up(reply: str) -> None:
    answer = read_answer(reply, tags=TAGS)
    assert answer == answer.strip()
    assert answer in reply


@given(st.text(alphabet=st.characters(exclude_characters="<>`", exclude_categories=["Cs"]), min_size=1))
def test_what_stands_between_the_tags_comes_back_as_it_is(text: str) -> None:
    answer = text.strip()
    if answer.strip(".…-_* \n") and "answer" not in answer.lower() and "text" not in answer.lower():
        assert read_answer(f"Sure.\n<improved_answer>{text}</improved_answer>", tags=TAGS) == answer
