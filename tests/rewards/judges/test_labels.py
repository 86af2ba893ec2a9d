"""Expectations over the labels that a judge might have said."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from tpo.rewards.judges.grades import Scale
from tpo.rewards.judges.labels import expected, place_of
from tpo.rewards.judges.tokens import Token, tokens_of
from tpo.rewards.judges.verdicts import VERDICTS

TEN = Scale().labels


def tokens(*places: tuple[str, Mapping[str, float]]) -> list[Token]:
    return [Token(text, list(top.items())) for text, top in places]


def test_the_expectation_is_renormalised_over_the_labels() -> None:
    reading = expected(tokens(("7", {"7": 0.4, "8": 0.2, "The": 0.4})), 0, TEN, 7)
    assert reading is not None
    assert reading.value == pytest.approx((7 * 0.4 + 8 * 0.2) / 0.6)
    assert reading.mass == pytest.approx(0.6)


def test_spaces_markup_and_what_follows_in_a_token_are_no_part_of_the_label() -> None:
    top = {"7": 0.1, " 7": 0.1, "▁8": 0.1, "Ġ8": 0.1, "**9": 0.1, "\n9": 0.1, "9.": 0.1, "(9)": 0.1, '"9"': 0.1}
    reading = expected(tokens((" 7", top)), 0, TEN, 7)
    assert reading is not None
    assert reading.mass == pytest.approx(0.9)
    assert reading.value == pytest.approx((2 * 7 + 2 * 8 + 5 * 9) / 9)


@pytest.mark.parametrize("text", ["77", "7.5", "7th", "x7", "-7", "seven", "", " ", "**", "7,5"])
def test_what_is_no_label(text: str) -> None:
    assert expected(tokens(("8", {"8": 0.3, text: 0.7})), 0, TEN, 8) is None


def test_less_than_half_on_labels_is_no_reading() -> None:
    assert expected(tokens(("7", {"7": 0.3, "8": 0.19, "The": 0.5})), 0, TEN, 7) is None
    assert expected(tokens(("7", {"7": 0.3, "8": 0.21, "The": 0.49})), 0, TEN, 7) is not None


def test_a_ten_in_two_tokens_is_ten_and_not_one() -> None:
    said = tokens(("1", {"1": 0.8, "9": 0.2}), ("0", {"0": 0.75, "": 0.25}))
    reading = expected(said, 0, TEN, 10)
    assert reading is not None
    assert reading.value == pytest.approx(10 * 0.6 + 1 * 0.2 + 9 * 0.2)


def test_a_one_that_ends_there_is_one() -> None:
    said = tokens(("1", {"1": 0.8, "2": 0.2}), ("", {"": 0.9, "0": 0.1}))
    reading = expected(said, 0, TEN, 1)
    assert reading is not None
    assert reading.value == pytest.approx(1 * 0.72 + 10 * 0.08 + 2 * 0.2)
    alone = expected(tokens(("1", {"1": 1.0})), 0, TEN, 1)
    assert alone is not None
    assert alone.value == 1


def test_a_one_beside_a_nine_is_the_beginning_of_ten() -> None:
    beside_nine = expected(tokens(("9", {"9": 0.6, "1": 0.4})), 0, TEN, 9)
    beside_two = expected(tokens(("2", {"2": 0.6, "1": 0.4})), 0, TEN, 2)
    assert beside_nine is not None
    assert beside_two is not None
    assert beside_nine.value == pytest.approx(0.6 * 9 + 0.4 * 10)
    assert beside_two.value == pytest.approx(0.6 * 2 + 0.4 * 1)


def test_where_ten_is_one_token_a_one_is_one() -> None:
    reading = expected(tokens(("9", {"9": 0.5, "10": 0.3, "1": 0.2})), 0, TEN, 9)
    assert reading is not None
    assert reading.value == pytest.approx(0.5 * 9 + 0.3 * 10 + 0.2)


def test_a_wide_scale_in_digits() -> None:
    said = tokens(("8", {"8": 0.9, "7": 0.1}), ("5", {"5": 0.5, "0": 0.5}))
    reading = expected(said, 0, Scale(1, 100).labels, 85)
    assert reading is not None
    assert reading.value == pytest.approx(0.45 * 85 + 0.45 * 80 + 0.1 * 79)


def test_verdicts_by_letters_and_the_beginnings_of_tie() -> None:
    reading = expected(tokens(("A", {"A": 0.5, " B": 0.2, "t": 0.1, " Tie": 0.1, "a": 0.1})), 0, VERDICTS, 1.0)
    assert reading is not None
    assert reading.value == pytest.approx((0.5 + 0.1) / 0.9)


def test_a_letter_that_was_read_as_no_verdict_is_a_word() -> None:
    assert expected(tokens(("A", {"A": 0.8, "B": 0.1})), 0, VERDICTS, None) is None
    unread = expected(tokens(("Well", {"Well": 0.3, "A": 0.5, "B": 0.1})), 0, VERDICTS, None)
    assert unread is not None
    assert unread.value == pytest.approx(5 / 6)


def test_the_token_of_a_place_in_the_text() -> None:
    said = tokens(*[(text, {}) for text in ("<think>", "7?", "</think>", "Score", ":", " ", "1", "0", "")])
    assert place_of("Score: 10", 0, said) == 3
    assert place_of("Score: 10", 7, said) == 6
    assert place_of("Score: 10", 9, said) is None
    assert place_of("elsewhere", 0, said) is None
    # Half of a sign that takes two tokens is not what the text shows; the end is what counts.
    assert place_of("é 7", 2, tokens(("�", {}), ("�", {}), (" 7", {}))) == 2


def test_the_sampled_token_counts_where_it_is_not_among_the_likeliest() -> None:
    one = {"token": "7", "logprob": 0.0, "top_logprobs": [{"token": "8", "logprob": -9999.0}]}
    assert tokens_of({"content": [one]}) == [Token("7", [("8", 0.0), ("7", 1.0)])]
