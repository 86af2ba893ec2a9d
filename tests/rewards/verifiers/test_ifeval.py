"""`verifier:ifeval`: every kind of instruction kept and broken, strict and loose, the benchmark's own file."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rewards.verifiers.kit import DATA, scored
from tpo.errors import InputError
from tpo.rewards.verifiers import ifeval_words
from tpo.rewards.verifiers.ifeval import KINDS, IFEval, instruction, instructions_of, loosened
from tpo.rewards.verifiers.references import References

GERMAN = "Die Hauptstadt von Frankreich ist Paris, und sie liegt an der Seine."
ENGLISH = "The capital of France is Paris, and it lies on the river Seine."

# Id, arguments, answers that follow, answers that do not.
CASES: list[tuple[str, dict[str, Any], list[str], list[str]]] = [
    (
        "change_case:capital_word_frequency",
        {"capital_relation": "at least", "capital_frequency": 2},
        ["I saw NASA", "DON'T", "A-B c D"],
        ["NASA only", "one two"],
    ),
    ("change_case:english_capital", {}, [ENGLISH.upper()], [ENGLISH, GERMAN.upper(), "12"]),
    ("change_case:english_lowercase", {}, [ENGLISH.lower()], [ENGLISH, GERMAN.lower(), "12"]),
    ("combination:repeat_prompt", {"prompt_to_repeat": "Say it. "}, [" say it. Done."], ["Done. Say it."]),
    (
        "combination:two_responses",
        {},
        ["a ****** b", "******a******b"],
        ["a", "a******a", "a******b******c", "a************b"],
    ),
    ("detectable_content:number_placeholders", {"num_placeholders": 2}, ["[a] [b]", "[a [b] []"], ["[a]", "[a\n] ]["]),
    ("detectable_content:postscript", {"postscript_marker": "P.S."}, ["x\np. s. hi", "P.S. x"], ["PS x", "P.P.S x"]),
    ("detectable_content:postscript", {"postscript_marker": "P.P.S"}, ["x p.p.s hi", "P. P. S"], ["P.S. x"]),
    ("detectable_format:constrained_response", {}, ["My answer is no."], ["my answer is no.", "No."]),
    ("detectable_format:json_format", {}, ["{}", "```JSON\n[1]\n```", "```json {}```"], ["a", "Here: {}", "{'a': 1}"]),
    (
        "detectable_format:multiple_sections",
        {"section_spliter": "SECTION", "num_sections": 2},
        ["SECTION 1\na\nSECTION 2\nb", "SECTION1 SECTION2 SECTION3"],
        ["SECTION 1", "Section 1 Section 2", "SECTION a SECTION b"],
    ),
    (
        "detectable_format:number_bullet_lists",
        {"num_bullets": 2},
        ["* a\n  - b", "*a\n*b"],
        ["* a", "** a\n* b", "1. a"],
    ),
    (
        "detectable_format:number_highlighted_sections",
        {"num_highlights": 2},
        ["*a* and *b*", "**a** **b**"],
        ["*a*", "* *\n* *", "*a\nb*"],
    ),
    ("detectable_format:title", {}, ["<<a>>\nb", "x << y >>"], ["<<>>", "<< >>", "<<a\n>>", "<a>"]),
    ("keywords:existence", {"keywords": ["cat", "a.b"]}, ["CATALOG A.B"], ["cat axb", "ca t a.b"]),
    ("keywords:forbidden_words", {"forbidden_words": ["cat"]}, ["catalog"], ["a Cat."]),
    ("keywords:frequency", {"keyword": "ha", "frequency": 3, "relation": "at least"}, ["Hahaha"], ["ha ha"]),
    ("keywords:frequency", {"keyword": "ha", "frequency": 3, "relation": "less than"}, ["ha ha"], ["Hahaha"]),
    ("keywords:letter_frequency", {"letter": "A", "let_frequency": 2, "let_relation": "at least"}, ["aA"], ["ab"]),
    ("keywords:letter_frequency", {"letter": "#", "let_frequency": 2, "let_relation": "less than"}, ["#a"], ["##"]),
    ("language:response_language", {"language": "de"}, [GERMAN, "42"], [ENGLISH]),
    (
        "length_constraints:nth_paragraph_first_word",
        {"num_paragraphs": 2, "nth_paragraph": 2, "first_word": "President"},
        ["a\n\npresident's b", 'a\n\n"President, b'],
        ["a\n\nb president", "president", "a\n\npresident\n\nc", "a\n\n\n\npresident"],
    ),
    ("length_constraints:number_paragraphs", {"num_paragraphs": 2}, ["a\n***\nb", "***a***b"], ["a\n\nb", "a****** b"]),
    (
        "length_constraints:number_sentences",
        {"num_sentences": 2, "relation": "at least"},
        ["One. Two.", 'He said "Go!" Then left'],
        ["Dr. No is here", "One\nTwo", "3.14 is e.g. pi"],
    ),
    ("length_constraints:number_sentences", {"num_sentences": 2, "relation": "less than"}, ["One."], ["One. Two?"]),
    ("length_constraints:number_words", {"num_words": 2, "relation": "at least"}, ["don't"], ["one"]),
    ("length_constraints:number_words", {"num_words": 2, "relation": "less than"}, ["one"], ["one two"]),
    ("punctuation:no_comma", {}, ["a b"], ["a, b"]),
    ("startend:end_checker", {"end_phrase": "The end."}, ['a THE END."', "the end.\n"], ["The end. a", "the end"]),
    ("startend:quotation", {}, ['"a"', ' "a" '], ['"a', "'a'", '"', "“a”"]),
]


def test_every_kind_is_here() -> None:
    assert len(KINDS) == 25
    assert {id for id, *_ in CASES} == set(KINDS)


@pytest.mark.parametrize(("id", "arguments", "good", "bad"), CASES, ids=[case[0] for case in CASES])
def test_followed_and_broken(id: str, arguments: dict[str, Any], good: list[str], bad: list[str]) -> None:
    one = instruction(id, arguments)
    assert [one.broken(answer) for answer in good] == [None] * len(good)
    faults = [one.broken(answer) for answer in bad]
    assert all(str(fault).startswith("the answer ") for fault in faults), faults
    assert one.broken(" \n") == "the answer is empty"


def test_loose_forgives_an_introduction_a_closing_line_and_stars() -> None:
    asked = [("startend:quotation", {}), ("keywords:letter_frequency", {**LETTER, "let_relation": "less than"})]
    strict, loose = IFEval(asked), IFEval(asked, "loose")
    answer = 'Sure, here it is:\n"A **b**"\nBye'
    assert scored(strict, answer).value == 0.0
    assert scored(loose, answer).value == 1.0
    assert scored(loose, 'Sure:\nAnd:\n"A b"').value == 0.5


LETTER = {"letter": "*", "let_frequency": 1}


def test_loose_tries_the_eight_published_forms() -> None:
    assert loosened("a*\nb\nc") == ["a*\nb\nc", "b\nc", "a*\nb", "b", "a\nb\nc", "b\nc", "a\nb", "b"]


def test_value_parts_and_feedback() -> None:
    asked: list[tuple[str, dict[str, Any]]] = [
        ("punctuation:no_comma", {}),
        ("length_constraints:number_words", {"num_words": 3, "relation": "at least"}),
        ("keywords:existence", {"keywords": ["Rome"]}),
        ("keywords:existence", {"keywords": ["Oslo"]}),
    ]
    score = scored(IFEval(asked), "Rome, Paris")
    assert score.value == 0.25
    assert list(score.parts.values()) == [0.0, 0.0, 1.0, 0.0]
    assert score.feedback == (
        "followed 1 of 4 instructions; missing: no comma anywhere (the answer has 1 comma); at least 3 words "
        '(the answer has 2 words); the keywords "Oslo" (the answer lacks "Oslo")'
    )
    assert scored(IFEval(asked[:1]), "a").feedback == "followed the instruction"
    assert scored(IFEval(asked), "Rome or Oslo").feedback == "followed all 4 instructions"


@settings(max_examples=50, deadline=None)
@given(st.one_of(st.text(), st.text(alphabet="*-[]<>{}\"'`,.!?PS 1aA\n\ud800\u0130ß")))
def test_no_text_breaks_it(text: str) -> None:
    for id, arguments, *_ in CASES:
        one = instruction(id, arguments)
        for form in loosened(text):
            fault = one.broken(form)
            assert fault is None or fault.startswith("the answer ")


@pytest.mark.parametrize("piece", ["<<", "[", ".", "*", "\n", '"', "P.", "SECTION ", "-"])
def test_long_texts_take_no_time(piece: str) -> None:
    # A pattern that takes the square of the length would run for minutes here.
    text = piece * 200_000
    for id, arguments, *_ in CASES:
        instruction(id, arguments).broken(text)


@pytest.mark.parametrize(
    ("id", "arguments", "words"),
    [
        ("keywords:existance", {}, "did you mean keywords:existence?"),
        ("nothing", {}, "known ones are change_case:"),
        ("keywords:existence", {}, "'keywords' is None; a list of words is expected"),
        ("keywords:existence", {"keywords": []}, "a list of words is expected"),
        ("keywords:existence", {"keywords": [1]}, "not all text"),
        ("punctuation:no_comma", {"commas": 1}, "it takes no arguments, not 'commas'"),
        ("length_constraints:number_words", {"num_words": "3", "relation": "at least"}, "a whole number is expected"),
        ("length_constraints:number_words", {"num_words": 3, "relation": "at most"}, "'at least' or 'less than'"),
        ("language:response_language", {"language": "german"}, "for German write de"),
        ("keywords:letter_frequency", {**LETTER, "letter": "ab", "let_relation": "at least"}, "not one character"),
        (
            "length_constraints:nth_paragraph_first_word",
            {"num_paragraphs": 1, "nth_paragraph": 2, "first_word": "a"},
            "the paragraph 2 is not one of 1",
        ),
    ],
)
def test_bad_instructions_name_what_is_wrong(id: str, arguments: dict[str, Any], words: str) -> None:
    with pytest.raises(InputError) as raised:
        IFEval([(id, arguments)])
    assert words in str(raised.value)


def test_arguments_as_data_sets_fill_them_in() -> None:
    filled = {"num_words": 3.0, "relation": "at least", "keywords": None}
    assert instruction("length_constraints:number_words", filled).wanted == "at least 3 words"


@pytest.mark.parametrize("asked", [[], [("punctuation:no_comma", {})]])
def test_no_instruction_or_mode_is_an_error(asked: list[tuple[str, dict[str, Any]]]) -> None:
    with pytest.raises(InputError):
        IFEval(asked, "lose")


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("", 0),
        ("no stop", 1),
        ("1. First. 2. Second.", 4),
        ("We met at 5 p.m. Then we left.", 2),
        ("J. K. Rowling wrote it. It sold.", 2),
        ("Wait... what? **Yes!** No.", 3),
    ],
)
def test_sentences(text: str, count: int) -> None:
    assert ifeval_words.sentences(text) == count


def test_the_benchmark_itself() -> None:
    file = DATA / "ifeval" / "input_data.jsonl"
    if not file.exists():
        pytest.skip("the evaluation data is not here (set TPO_DATA)")
    rows = [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]
    assert len(rows) == 441
    reward = IFEval(References.load(file, instructions_of))
    for row in rows:
        described = [one.wanted for one in instructions_of(row)]
        assert len(described) == len(row["instruction_id_list"]) and all(described)
        score = scored(reward, "Hello, World.", row["prompt"])
        assert len(score.parts) == len(described)
