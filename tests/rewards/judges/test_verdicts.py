"""Verdicts and rankings as judges write them."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tpo.rewards.judges.verdicts import read_ranking, read_verdict

A, B, TIE = 1.0, 0.0, 0.5


@pytest.mark.parametrize(
    ("reply", "verdict"),
    [
        ("A", A),
        ("B", B),
        (" B.", B),
        ("**A**", A),
        ("(B)", B),
        ('"A"', A),
        ("[[B]]", B),
        ("[[C]]", TIE),
        ("tie", TIE),
        ("Tie.", TIE),
        ("Answer B", B),
        ("Answer: B", B),
        ("The answer is A", A),
        ("The answer is tie.", TIE),
        ("Response A", A),
        ("B. It is correct, while A is not.", B),
        ("A: it names Paris", A),
        ("B\n\nIt is correct, while answer A is not.", B),
        ("Verdict: B", B),
        ("A: wordy\nB: exact\nVerdict: B", B),
        ("Winner: **Answer A**", A),
        ('{"winner": "B", "reason": "A is wrong"}', B),
        ("Answer A is wordy.\nAnswer B is exact.\nMy verdict is B", B),
        ("The better answer is B", B),
        ("I prefer A because B is wrong", A),
        ("A is better than B", A),
        ("Answer B is clearly better", B),
        ("A is worse", B),
        ("A > B", A),
        ("A < B", B),
        ("A = B", TIE),
        ("B > A", B),
        ("Both are equally good.", TIE),
        ("Neither", TIE),
        ("Both are fine, but B is better", B),
        ("B provides more detail", B),
        ("", None),
        ("Hmm", None),
        ("A good answer would name the city", None),
        ("A: Paris\nB: bananas", None),
        ("Which is better: A or B?", None),
    ],
)
def test_verdicts(reply: str, verdict: float | None) -> None:
    assert read_verdict(reply).value == verdict


@settings(deadline=None)
@given(st.one_of(st.text(), st.text("AB tie:>=<*[]()\n.banswer")))
def test_junk_verdicts_never_raise(reply: str) -> None:
    value, start = read_verdict(reply)
    assert value in (A, B, TIE, None)
    assert start is None or reply[start].lower() in "abct"


@settings(deadline=None)
@given(st.text("AB tie:>=<*[]()\n.is better worse"))
def test_a_verdict_with_its_letters_swapped_is_the_opposite(reply: str) -> None:
    # "A" before an ordinary word is a word of English, which "B" is not.
    value = read_verdict(reply).value
    swapped = read_verdict(reply.translate(str.maketrans("AB", "BA"))).value
    if value is not None and swapped is not None:
        assert value == 1 - swapped


@pytest.mark.parametrize(
    ("reply", "ranking"),
    [
        ("B > A > C", "BAC"),
        ("B>A>C", "BAC"),
        ("**B** > **A** > **C**", "BAC"),
        ("Answer B > Answer A > Answer C", "BAC"),
        ("Ranking: B, A, C", "BAC"),
        ('["B", "A", "C"]', "BAC"),
        ("B\nA\nC", "BAC"),
        ("1. B\n2. A\n3. C", "BAC"),
        ("1. **Answer B**: exact\n2. Answer A: wordy\n3. Answer C: wrong", "BAC"),
        ("B > A = C", "BAC"),
        ("A, B and C differ. So: C > B > A", "CBA"),
        ("First C > B > A. On reflection: B > A > C", "BAC"),
        ("B is best, then C; A is last", "BCA"),
        ("B > A", "BA"),
        ("B > B > A > A > C", "BAC"),
        ("B > A > D > C", "BA"),
        ("A good question.", ""),
        ("B", "B"),
        ("", ""),
    ],
)
def test_rankings(reply: str, ranking: str) -> None:
    assert "".join(read_ranking(reply, "ABC")) == ranking


@settings(deadline=None)
@given(st.one_of(st.text(), st.text("ABCD >=,\n1.*")), st.integers(2, 8))
def test_junk_rankings_name_each_once(reply: str, count: int) -> None:
    letters = "ABCDEFGH"[:count]
    order = read_ranking(reply, letters)
    assert len(order) == len(set(order))
    assert set(order) <= set(letters)


@settings(deadline=None)
@given(st.permutations("ABCDEFGH"), st.sampled_from([" > ", ">", ", ", "\n", " → "]))
def test_any_order_is_read(order: list[str], sign: str) -> None:
    assert read_ranking(sign.join(order), "ABCDEFGH") == order
