"""The surface reward: each part finds its fault, the formula is the table, no text breaks it."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tpo.messages import answered, conversation
from tpo.rewards.protocol import Score
from tpo.rewards.surface import WEIGHTS, Surface, surface

ASKED = "Why is the sky blue during the day?"
GOOD = (
    "The sky looks blue because air scatters short wavelengths of sunlight more strongly than long ones. "
    "During the day that scattered blue light reaches our eyes from every direction."
)
# Pieces of what breaks parsers: separators, fences, tags, halves of characters, marks, many scripts.
MARKS = ["\n", "\0", "\ud800", "\u0301", "\u200b", "\r", "\u2028", "a" * 40, "!" * 20, "😀" * 20, "- ", "~~~\n"]
PIECES = st.sampled_from(
    ["```", "<|im_end|>", "</s>", "|", "#", "1.", "**", "{[", "User:", "你好", "ไทย", "हिन्दी", *MARKS]
)
TEXTS = st.one_of(st.text(), st.lists(PIECES).map("".join))


@given(TEXTS, TEXTS)
def test_any_text_scores_within_bounds(query: str, answer: str) -> None:
    score = surface(query, answer)
    assert 0.0 <= score.value <= 1.0
    assert set(score.parts) == set(WEIGHTS)
    assert all(0.0 <= part <= 1.0 for part in score.parts.values())
    assert score == surface(query, answer)


@given(TEXTS.filter(lambda text: any(sign.isprintable() and not sign.isspace() for sign in text)))
def test_an_empty_answer_scores_below_any_other(answer: str) -> None:
    for empty in ("", " \n\t", "\u200b"):
        assert surface(ASKED, empty).value == 0.0 < surface(ASKED, answer).value


def test_the_value_is_the_weighted_sum_of_the_parts() -> None:
    score = surface(ASKED, GOOD)
    assert math.isclose(sum(WEIGHTS.values()), 1.0)
    assert math.isclose(score.value, sum(WEIGHTS[name] * part for name, part in score.parts.items()))


async def test_scores_come_in_order_for_the_last_question() -> None:
    talk = conversation([{"role": "user", "content": "Name a colour."}, {"role": "user", "content": ASKED}])
    scores = await Surface().score([answered(talk, ""), answered(talk, GOOD)])
    assert scores == [surface(ASKED, ""), surface(ASKED, GOOD)]


def test_scores_are_those_of_this_version() -> None:
    # A change here changes what journals mean: raise the number in Surface.name with it.
    assert Surface().name == "surface@2"
    assert surface(ASKED, GOOD).value == pytest.approx(SCORE_OF_GOOD, abs=1e-6)
    assert surface(ASKED, "Because.").value == pytest.approx(SCORE_OF_BECAUSE, abs=1e-6)


SCORE_OF_GOOD = 0.804651
SCORE_OF_BECAUSE = 0.169626


@pytest.mark.parametrize(
    "answer",
    [
        GOOD[:-30],  # in mid-sentence
        GOOD + " Also, the",
        GOOD + " There are reasons:",
        GOOD + "\n\n1. Light.\n2.",
        GOOD + "\n\n- Light.\n- **Air",
        GOOD + "\n\n## Conclusion\n\n#",
        GOOD + "\n\n```python\nprint(1)",
        GOOD + "\n\n- Light is scattered.\n- Air scatters it.\n- The sun shi",
    ],
)
def test_cut_answers_lose_completeness(answer: str) -> None:
    assert surface(ASKED, answer).parts["completeness"] <= 0.5


@pytest.mark.parametrize(
    "answer",
    [
        GOOD,
        "Rayleigh scattering",
        "- Light\n- Air\n- Scattering",
        "```python\nprint(1)\n```",
        "| a | b |\n|---|---|\n| 1 | 2 |",
        "天空是蓝色的。",
        "Roses are red\nViolets are blue\nSugar is sweet\nAnd so are you",
    ],
)
def test_finished_answers_are_complete(answer: str) -> None:
    assert surface(ASKED, answer).parts["completeness"] == 1.0


@pytest.mark.parametrize(
    "loop",
    [
        "The sky is blue. " * 20,
        "the " * 60,
        "It scatters light.\n" * 12,
        "a" * 400,
        "haha" * 100,
        "!" * 300,
        "😀" * 80,
        "天空是蓝色的因为空气散射光线。" * 20,
    ],
)
def test_loops_ruin_repetition_and_lose_to_a_short_answer(loop: str) -> None:
    looped = surface(ASKED, loop)
    assert looped.parts["repetition"] == 0.0
    assert looped.value < surface(ASKED, "Air scatters blue light.").value
    assert "repeats itself" in str(looped.feedback)


@pytest.mark.parametrize(
    "answer", [GOOD, "| a | b |\n|---|---|\n| 1 | 2 |", "人工智能很有用，人工智能也很有趣。", "---\n***"]
)
def test_plain_prose_and_tables_are_no_loops(answer: str) -> None:
    assert surface(ASKED, answer).parts["repetition"] == 1.0


def test_more_of_the_same_length_of_loop_earns_no_length() -> None:
    once, often = surface(ASKED, GOOD), surface(ASKED, f"{GOOD} " * 10)
    assert often.parts["length"] == once.parts["length"]


def test_length_saturates() -> None:
    lengths = [surface(ASKED, " ".join(f"{n}word" for n in range(count))).parts["length"] for count in (50, 100, 150)]
    assert lengths[0] < lengths[1] < lengths[2] < 1.0
    assert lengths[2] - lengths[1] < lengths[1] - lengths[0]


def test_a_brief_answer_suffices_where_one_is_asked_for() -> None:
    answer = "Air scatters blue light most."
    assert surface(f"{ASKED} Answer briefly.", answer).parts["length"] > surface(ASKED, answer).parts["length"]


def test_relevance_knows_the_subject_and_its_inflections() -> None:
    query = "How do volcanoes erupt?"
    on, off = surface(query, "A volcano erupts when magma rises."), surface(query, "Bread needs yeast and time.")
    assert on.parts["relevance"] == 1.0
    assert off.parts["relevance"] == 0.0
    assert surface("法国的首都是哪里?", "首都是巴黎。").parts["relevance"] > 0.0
    assert surface("Why?", GOOD).parts["relevance"] == 1.0


def test_copying_the_query_is_echo_and_quoting_a_little_is_not() -> None:
    query = "Correct this: the quick brown fox have jumped over the lazy dogs yesterday evening."
    assert surface(query, query).parts["echo"] == 0.0
    assert surface(ASKED, f"{ASKED} {GOOD}").parts["echo"] > 0.8
    assert surface(ASKED, GOOD).parts["echo"] == 1.0
    assert surface("天空为什么在白天看起来是蓝色的呢?", "天空为什么在白天看起来是蓝色的呢?").parts["echo"] == 0.0
    assert surface("Hi", "hi").parts["echo"] == 0.0


@pytest.mark.parametrize(
    "leak",
    [
        "<|im_start|>",
        "\nUser: and?",
        "\nAssistant: so",
        "\n### Instruction:\n",
        "<improved_answer>",
        "</s>",
        "[/INST]",
        "<<SYS>>",
        "</think>",
        "<eos>",
        "\ufffd",
    ],
)
def test_leaked_tokens_and_labels_cost_cleanness(leak: str) -> None:
    leaked = surface(ASKED, GOOD + leak)
    assert leaked.parts["cleanness"] == 0.25
    assert "do not belong" in str(leaked.feedback)


def test_marks_that_the_query_shows_are_no_leak() -> None:
    assert surface("What does <|im_start|> mean?", "<|im_start|> opens a turn.").parts["cleanness"] == 1.0
    assert surface("Write HTML.", "<p>Hello</p><br/>").parts["cleanness"] == 1.0


@pytest.mark.parametrize(
    ("query", "with_form", "without"),
    [
        ("List three fruits.", "- apple\n- pear\n- plum", "Apple, pear and plum."),
        ("Explain it step by step.", "1. Mix.\n2. Bake.", "Mix and bake."),
        ("Compare both in a table.", "| a | b |\n|---|---|\n| 1 | 2 |", "A is larger."),
        ("Write a Python function.", "```python\ndef f(): ...\n```", "First think about it."),
        ("Answer in JSON.", '{"a": 1}', "a is one"),
    ],
)
def test_structure_counts_where_it_is_asked_for(query: str, with_form: str, without: str) -> None:
    assert surface(query, with_form).parts["structure"] == 1.0
    assert surface(query, without).parts["structure"] == 0.0
    assert surface(ASKED, without).parts["structure"] == 1.0


def test_a_refusal_costs_little_and_earns_no_advice() -> None:
    refusal = surface(ASKED, "I'm sorry, I can’t help with that.")
    assert refusal.parts["directness"] == 0.25
    assert refusal.feedback is None
    assert surface(ASKED, GOOD) == Score(surface(ASKED, GOOD).value, surface(ASKED, GOOD).parts, None)


@pytest.mark.parametrize(
    "empty", ["I'm ready to help you with that!", "Your answer is better than the original answer."]
)
def test_an_answer_that_shares_nothing_with_the_question_scores_low(empty: str) -> None:
    query = "Explain how vaccines train the immune system, in two sentences."
    real = "Vaccines show the immune system a harmless piece of a germ. When the real germ comes, memory cells answer."
    assert surface(query, empty).value < 0.3
    assert surface(query, real).value > 2 * surface(query, empty).value


def test_a_long_answer_in_other_words_loses_little() -> None:
    query = "Explain vaccines."
    other = " ".join(f"word{chr(97 + n // 26)}{chr(97 + n % 26)}" for n in range(400)) + "."
    assert surface(query, other).parts["relevance"] == 0.0
    assert surface(query, other).value > 0.6
