"""Requirement rules: how they are written, what they check, what they say."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tpo.errors import InputError
from tpo.messages import answered, conversation
from tpo.rewards.languages import NAMES
from tpo.rewards.require import Requirements
from tpo.rewards.rule_kinds import KINDS, size_of
from tpo.rewards.rules import parse_rule

GERMAN = "Die Hauptstadt von Frankreich ist Paris, und sie liegt an der Seine."
ENGLISH = "The capital of France is Paris, and it lies on the river Seine."
ALL_RULES = [kind.example for kind in KINDS.values()] + ["/a+b/"]

KEPT = [
    ("max-words=3", "don't well-known 3.14"),
    ("max-words=2", "你好"),
    ("min-words=3", "one two three"),
    ("min-words=2", "हिन्दी भाषा"),
    ("max-sentences=2", "Dr. Smith, e.g., paid 3.50 for it. He left."),
    ("min-sentences=3", "First.\n- second\n- third"),
    ("min-sentences=2", "你好。再见！"),
    ("bullets=3", "Here:\n- a\n* b\n• c"),
    ("bullets=2", "1. a\n2) b\n\n* * *\n---\n-no item"),
    ("bullets=1", "- a\n```\n- b\n```"),
    ("bullets=2", "```pip install a``` first:\n- a\n- b"),
    ("contains=STRASSE", "Die Straße ist lang."),
    ("contains=caf\u00e9", "Im Cafe\u0301 nebenan."),
    ("contains=a=b", "so a=b holds"),
    ("excludes=sorry", "Gladly."),
    ("starts=dear", "  Dear Ann, hello."),
    ("ends=Bye.", "Hello. BYE.\n"),
    ("json", ' {"a": [1, null]} '),
    ("json", '```json\n{"a": 1}\n```'),
    ("json", "```\n[1]\n```"),
    ("language=de", GERMAN),
    ("language=en", ENGLISH),
    ("language=DE", GERMAN),
    ("language=zh", "北京是中国的首都。"),
    ("language=fr", "12 + 30 = 42"),
    ("language=fr", "Paris."),
    ("language=de", f"{GERMAN}\n```\nfor every item in the list print the value of that item\n```"),
    ("regex=^a.*z$", "abcz"),
    ("/\\d{3}/", "call 123"),
    ("/a/b/", "see a/b"),
    ("MAX_WORDS = 3", "one two"),
]
BROKEN = [
    ("max-words=3", "one two three four", "the answer has 4 words"),
    ("min-words=2", "one", "the answer has 1 word"),
    ("max-sentences=1", "One. Two.", "the answer has 2 sentences"),
    ("max-sentences=1", "```f()``` is one.\nTwo.", "the answer has 2 sentences"),
    ("min-sentences=2", "One", "the answer has 1 sentence"),
    ("bullets=3", "- a\n- b", "the answer has 2 bullet items"),
    ("contains=Rome", "Paris", "the answer does not contain it"),
    ("excludes=SORRY", "I am sorry.", "the answer contains it"),
    ("starts=Dear", "Hi\nAnn", 'the answer starts with "Hi Ann"'),
    ("ends=Bye", "Hi Ann", 'the answer ends with "Hi Ann"'),
    ("json", "Here: {}", "the answer is no JSON: Expecting value at line 1, column 1"),
    ("json", '{"a": 1,}\nand more', "the answer is no JSON"),
    ("json", "[NaN]", "the answer is no usable JSON: NaN is not allowed"),
    ("json", "[" * 100_000, "the answer is no usable JSON"),
    ("language=de", ENGLISH, "the answer seems to be in English"),
    ("language=en", "Привет", "the answer seems to be in"),
    ("regex=^b", "abc", "the answer has no match for it"),
]


@pytest.mark.parametrize(("rule", "answer"), KEPT)
def test_kept(rule: str, answer: str) -> None:
    assert parse_rule(rule).broken(answer) is None


@pytest.mark.parametrize(("rule", "answer", "fault"), BROKEN)
def test_broken(rule: str, answer: str, fault: str) -> None:
    assert str(parse_rule(rule).broken(answer)).startswith(fault)


@pytest.mark.parametrize("rule", ALL_RULES)
def test_an_empty_answer_keeps_no_rule(rule: str) -> None:
    assert parse_rule(rule).broken(" \n") == "the answer is empty"


@given(st.one_of(st.text(), st.text(alphabet="-*•1.2)`~# \n\ud800\u0301[{\"'你。")))
def test_no_text_breaks_a_rule(answer: str) -> None:
    for rule in ALL_RULES:
        fault = parse_rule(rule).broken(answer)
        assert fault is None or fault.startswith("the answer ")


def test_a_costly_pattern_is_stopped() -> None:
    # Searched to its end, this takes longer than anyone waits.
    fault = parse_rule(r"regex=(a|aa)+$").broken("a" * 200 + "!")
    assert "could not be searched" in str(fault)


@pytest.mark.parametrize(
    ("rule", "words"),
    [
        ("maxwords=3", "Did you mean max-words=3?"),
        ("jsn", "Did you mean json?"),
        ("nothing-like-it", "Known ones look like this: max-words=80"),
        ("", "is unknown"),
        ("json=1", "takes none"),
        ("max-words", "write for example max-words=80"),
        ("max-words=", "has no value"),
        ("max-words=many", "'many' is no whole number above zero"),
        ("max-words=0", "no whole number above zero"),
        ("max-words=-3", "no whole number above zero"),
        ("bullets=²", "no whole number above zero"),
        ("regex=(", "'(' is no regular expression: missing )"),
        ("/[/", "is no regular expression"),
        ("language=german", "for German write de"),
        ("language=xx", "no known ISO 639-1 code such as en"),
    ],
)
def test_bad_rules_name_what_is_wrong(rule: str, words: str) -> None:
    with pytest.raises(InputError) as raised:
        parse_rule(rule)
    assert words in str(raised.value)
    assert repr(rule) in str(raised.value)


def test_an_unknown_rule_lists_all() -> None:
    with pytest.raises(InputError) as raised:
        parse_rule("length=3")
    assert all(kind.example in str(raised.value) for kind in KINDS.values())


def test_descriptions_are_plain_words() -> None:
    rules = ["max-words=80", "min-words=1", "bullets=3", "language=de", "json", "excludes=um"]
    assert [parse_rule(rule).describe() for rule in rules] == [
        "at most 80 words",
        "at least 1 word",
        "exactly 3 bullet items, each on a line of its own",
        "written in German",
        "JSON and nothing else",
        'no "um" anywhere',
    ]


def test_every_language_on_the_list_is_known_to_the_identifier() -> None:
    import py3langid

    assert set(NAMES) <= {language for language, _ in py3langid.rank("a")}


async def test_requirements_count_and_name_what_is_missing() -> None:
    reward = Requirements(["max-words=4", "contains=Paris", "bullets=2"])
    query = conversation("Where?")
    most, all_of_them, none = await reward.score(
        [
            answered(query, "- In Paris, of course\n- on the river"),
            answered(query, "- Paris\n- France"),
            answered(query, ""),
        ]
    )
    assert most.value == pytest.approx(2 / 3)
    assert most.parts == {"max-words=4": 0.0, "contains=Paris": 1.0, "bullets=2": 1.0}
    assert most.feedback == "kept 2 of 3 requirements; missing: at most 4 words (the answer has 7 words)"
    assert (all_of_them.value, all_of_them.feedback) == (1.0, "kept all 3 requirements")
    assert none.value == 0.0


def test_one_requirement_reads_well() -> None:
    reward = Requirements(["json"])
    assert reward.check("{}").feedback == "kept the requirement"
    assert str(reward.check("a").feedback).startswith("kept 0 of 1 requirement; missing: JSON and nothing else (")


def test_requirements_are_distinguished_by_their_rules() -> None:
    assert Requirements(["json"]).name != Requirements(["max-words=3"]).name
    assert Requirements(["json", "json"]).name == Requirements(["json"]).name


@pytest.mark.parametrize("rules", [[], "json"])
def test_no_rules_is_an_error(rules: list[str] | str) -> None:
    with pytest.raises(InputError, match="requirement"):
        Requirements(rules)


@pytest.mark.parametrize(
    "pattern", ["a{10000000}", "(?:(?:a{100}){100}){10}", "(a|b){4000}", "x" * 6000, "a{99999999999}"]
)
def test_a_pattern_that_is_too_large_is_refused_before_it_is_compiled(
    pattern: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("regex.compile", lambda pattern: pytest.fail("compiled"))
    with pytest.raises(InputError, match="too large"):
        parse_rule(f"regex={pattern}")


@pytest.mark.parametrize(
    ("pattern", "size"),
    [("abc", 3), ("a{3}", 4), ("(ab){10}", 30), (r"[a{9}]{2}", 9), (r"a\{9}", 5), ("a{0,9999}", 9), ("(?:ab{2})c", 10)],
)
def test_the_size_of_a_pattern(pattern: str, size: int) -> None:
    assert size_of(pattern) == size
