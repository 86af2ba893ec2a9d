"""Searching lines of JSON: ruling a line out as bytes never hides a text that has the words."""

from __future__ import annotations

import sys

import msgspec
from hypothesis import example, given
from hypothesis import strategies as st

from tpo.view.search import Words, _folding_to_ascii

TEXTS = st.text(alphabet='aAkKsSßſK"\\\n ü Ü東京ﬁfiİi̇é“”', max_size=12)


@given(TEXTS, TEXTS, TEXTS)
@example("", "Kelvin K", "")
@example("STRASSE ", "", "")
def test_no_line_with_the_words_is_ruled_out(before: str, words: str, after: str) -> None:
    for spelling in (words, words.upper(), words.lower(), words.casefold()):
        line = msgspec.json.encode({"answer": f"{before}{spelling}{after}"})
        wanted = Words(words)
        if wanted.are_in(f"{before}{spelling}{after}"):
            assert wanted.may_be_in(line)
            assert wanted.among([b"{}", line])[-1] == (1, line)
            assert wanted.may_be_in(b"{}\n" + line)


def test_most_lines_are_ruled_out() -> None:
    lines = [msgspec.json.encode({"answer": text}) for text in ("Grün und blau", "“Quoted” text", "東京", "plain")]
    assert [number for number, _ in Words("zebra").among(lines)] == []
    assert [number for number, _ in Words("GRÜN").among(lines)] == [0]
    assert [number for number, _ in Words("東京").among(lines)] == [2]
    assert [number for number, _ in Words('"quoted"').among(lines)] == [1]


def test_every_character_that_folds_to_ascii_is_known() -> None:
    pattern = _folding_to_ascii()
    for number in range(128, sys.maxunicode + 1):
        folded = chr(number).casefold()
        if not 0xD800 <= number < 0xE000 and any(map(str.isascii, folded)):
            assert pattern.fullmatch(chr(number).encode())
