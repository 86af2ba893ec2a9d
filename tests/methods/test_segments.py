"""segments: what a part is, which parts are kept, and what the next answers are built on."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tpo.candidate import Candidate
from tpo.messages import conversation
from tpo.methods import Sample, ScoreTexts, find_method
from tpo.methods.segments import Unit, best_of, split
from tpo.prompts import PromptSet

QUERY = conversation("How do I clean a table?")


def start(**own: Any) -> Any:
    return find_method("segments").start(QUERY, width=1, depth=2, prompts=PromptSet(), settings=own)


def parts(*rewards: float | None) -> list[Candidate]:
    return [Candidate("", 0, f"part {i}", reward) for i, reward in enumerate(rewards)]


def test_the_buffer_by_hand() -> None:
    assert [one.reward for one in best_of(parts(1, 3, 2), 2, None)] == [3, 2]
    assert best_of(parts(1, 3, 2), 2, 10.0) == []
    assert [one.text for one in best_of(parts(None, 1, 1), 1, None)] == ["part 1"]


def test_the_next_answers_are_built_on_the_best_parts_of_all_rounds() -> None:
    search = start(buffer=2)
    assert next(search).prompt.messages == QUERY
    wanted = search.send([Candidate("0.0", 0, "Wipe.\n\nScrub.\n\nDry.", 0.5)])
    assert wanted == ScoreTexts(("Wipe.", "Scrub.", "Dry."))
    built = search.send([Candidate("", 0, text, reward) for text, reward in zip(wanted.texts, (1, 3, 2), strict=True)])
    assert isinstance(built, Sample)
    shown = built.prompt.messages[-1]["content"]
    assert [part in shown for part in ("Wipe.", "Scrub.", "Dry.")] == [False, True, True]
    assert shown.index("Scrub.") < shown.index("Dry.")
    # Those that are kept are scored again beside the new ones.
    wanted = search.send([Candidate("1.0", 1, "Scrub.\n\nPolish.", 0.6)])
    assert wanted == ScoreTexts(("Scrub.", "Dry.", "Polish."))
    built = search.send([Candidate("", 1, text, reward) for text, reward in zip(wanted.texts, (3, 2, 5), strict=True)])
    assert "Polish." in built.prompt.messages[-1]["content"]
    with pytest.raises(StopIteration) as end:
        search.send([Candidate("2.0", 2, "Worse.", 0.1)])
    assert (end.value.value.chosen.id, end.value.value.stop) == ("1.0", "depth")


def test_without_a_good_part_the_query_is_sampled_again() -> None:
    search = start(threshold=10.0)
    next(search)
    wanted = search.send([Candidate("0.0", 0, "Wipe.\n\nDry.", 0.5)])
    again = search.send([Candidate("", 0, text, 1.0) for text in wanted.texts])
    assert (again.prompt.name, again.prompt.messages) == ("answer", QUERY)


@pytest.mark.parametrize(
    ("text", "unit", "most", "found"),
    [
        ("One.\nStill one.\n\nTwo.", "paragraph", 6, ["One.\nStill one.", "Two."]),
        ("One. Two! Three?", "paragraph", 6, ["One.", "Two!", "Three?"]),
        ("One. Two.\n\nThree.", "sentence", 6, ["One.", "Two.", "Three."]),
        ("a\n\nb\n\nc\n\nd\n\ne", "paragraph", 2, ["a\n\nb\n\nc", "d\n\ne"]),
        ("See:\n```py\nx = 1\n\ny = 2\n```\nDone.", "paragraph", 6, ["See:", "```py\nx = 1\n\ny = 2\n```", "Done."]),
        ("```\nnever closed\n\nat all", "sentence", 6, ["```\nnever closed\n\nat all"]),
        (" \n\n ", "paragraph", 6, []),
        # Neighbours that are joined keep what stood between them.
        ("A one. B two.\nC three. D four.", "paragraph", 2, ["A one. B two.", "C three. D four."]),
        ("A one. B two.\nC three. D four.", "paragraph", 1, ["A one. B two.\nC three. D four."]),
        ("Do this.\n```py\nx = 1\n```\nDone.", "sentence", 2, ["Do this.\n```py\nx = 1\n```", "Done."]),
    ],
)
def test_what_a_part_is(text: str, unit: Unit, most: int, found: list[str]) -> None:
    assert split(text, unit, most) == found


# Texts with sentences, paragraphs and blocks of code, and any text.
PIECES = st.sampled_from(["One.", "Two!", "and", "```", "```py", " ", "\n", "\n\n", "\r\n", "\x0b"])


@given(st.text() | st.lists(PIECES).map("".join), st.sampled_from(["paragraph", "sentence"]), st.integers(1, 8))
def test_parts_are_pieces_of_the_answer_and_lose_no_word(text: str, unit: Unit, most: int) -> None:
    found = split(text, unit, most)
    assert len(found) <= most
    assert " ".join(found).split() == text.split()
    assert all(part in text for part in found)
