"""Searching texts: every entry that has the words is found, whatever their case, in memory and in a file."""

from __future__ import annotations

import tempfile
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tpo.errors import InputError
from tpo.view import search
from tpo.view.search import SearchTexts

TEXTS = st.text(alphabet='aAkKsSßſK"\\\n ü Ü東京ﬁfiİi̇é“”', max_size=12)


def texts_of(*entries: tuple[str, ...]) -> SearchTexts:
    texts = SearchTexts()
    for entry in entries:
        texts.add(*entry)
    return texts


@given(st.lists(st.tuples(TEXTS, TEXTS), max_size=6), TEXTS, st.sampled_from([1, 40, 1 << 20]))
@example([("STRASSE", "x")], "straße", 1)
@example([("a", "b")], "ab", 1)
@example([("", ""), ("", "")], "", 1)
def test_a_search_finds_what_a_comparison_of_texts_finds(
    entries: list[tuple[str, str]], words: str, block: int
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(search, "BLOCK", block)
        patch.setattr(search, "IN_MEMORY", 16)
        found = texts_of(*entries).find(words)
    assert list(found) == [
        number for number, entry in enumerate(entries) if any(words.casefold() in text.casefold() for text in entry)
    ]


def test_texts_that_are_added_later_are_found() -> None:
    texts = texts_of(("one", "A fruit"), ("two", "fruit and fruit"))
    assert list(texts.find("FRUIT")) == [0, 1]
    texts.add("three", "fruit")
    assert list(texts.find("fruit")) == [0, 1, 2] and list(texts.find("no such words")) == []


def test_a_full_disk_fails_the_search_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: Any, **__: Any) -> Any:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(search, "BLOCK", 1)
    monkeypatch.setattr(search, "IN_MEMORY", 4)
    monkeypatch.setattr(tempfile, "TemporaryFile", full)
    texts = texts_of(("a first", "text"), ("and", "another"))
    with pytest.raises(InputError, match="No space left on device"):
        texts.find("text")
