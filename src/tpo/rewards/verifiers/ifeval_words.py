"""IFEval's instructions on words: how many, which ones, in what language and case.

Each function takes the arguments of one instruction and returns what it requires, in words, and its check.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from tpo.rewards import text
from tpo.rewards.languages import other_language
from tpo.rewards.rule_kinds import Check
from tpo.rewards.rules import parse_rule
from tpo.rewards.verifiers import ifeval_text

BuiltCheck = tuple[str, Check]


def _counted(
    relation: str, limit: int, thing: str, count: Callable[[str], int], fault: str = "has {} {}"
) -> BuiltCheck:
    """At least, or less than, so many of a thing."""
    if relation not in ("at least", "less than"):
        raise ValueError(f"the relation {relation!r} is unknown; it is 'at least' or 'less than'")

    def check(answer: str) -> str | None:
        found = count(answer)
        kept = found >= limit if relation == "at least" else found < limit
        return None if kept else fault.format(found, _plural(found, thing))

    return f"{relation} {limit} {_plural(limit, thing)}", check


def _plural(number: int, thing: str) -> str:
    head, blank, rest = thing.partition(" ")
    return thing if number == 1 else f"{head}s{blank}{rest}"


def number_words(num_words: int, relation: str) -> BuiltCheck:
    """At least or less than so many words."""
    return _counted(relation, num_words, "word", lambda answer: len(ifeval_text.words(answer)))


def number_sentences(num_sentences: int, relation: str) -> BuiltCheck:
    """At least or less than so many sentences."""
    return _counted(relation, num_sentences, "sentence", ifeval_text.sentences)


def capital_word_frequency(capital_relation: str, capital_frequency: int) -> BuiltCheck:
    """At least or less than so many words in capital letters."""
    thing = "word in capital letters"
    return _counted(capital_relation, capital_frequency, thing, lambda one: len(ifeval_text.capital_words(one)))


def frequency(keyword: str, frequency: int, relation: str) -> BuiltCheck:
    """A keyword at least or less than so many times, also inside of longer words."""
    sought = re.compile(re.escape(keyword.strip()), re.IGNORECASE)
    thing = f'use of "{keyword.strip()}"'
    return _counted(relation, frequency, thing, lambda answer: len(sought.findall(answer)))


def letter_frequency(letter: str, let_frequency: int, let_relation: str) -> BuiltCheck:
    """A letter (or another sign) at least or less than so many times; case does not matter."""
    if len(letter.strip()) != 1:
        raise ValueError(f"the letter {letter!r} is not one character")
    sought = letter.strip().lower()
    thing = f'letter "{sought}"' if sought.isalpha() else f'sign "{sought}"'
    return _counted(let_relation, let_frequency, thing, lambda answer: answer.lower().count(sought))


def existence(keywords: list[str]) -> BuiltCheck:
    """Every keyword somewhere, also inside of longer words."""
    sought = _texts(keywords)

    def check(answer: str) -> str | None:
        missing = [word for word in sought if not re.search(re.escape(word), answer, re.IGNORECASE)]
        return f"lacks {_listed(missing)}" if missing else None

    return f"the keywords {_listed(sought)}", check


def forbidden_words(forbidden_words: list[str]) -> BuiltCheck:
    """None of these as a whole word."""
    sought = _texts(forbidden_words)

    def check(answer: str) -> str | None:
        found = [word for word in sought if re.search(rf"\b{re.escape(word)}\b", answer, re.IGNORECASE)]
        return f"uses {_listed(found)}" if found else None

    return f"none of the words {_listed(sought)}", check


def _texts(words: list[str]) -> list[str]:
    if not all(isinstance(word, str) and word for word in words):
        raise ValueError(f"the words {words!r} are not all text")
    return sorted(set(words))


def _listed(words: list[str]) -> str:
    return ", ".join(f'"{word}"' for word in words)


def response_language(language: str) -> BuiltCheck:
    """Written in one language, given by its ISO 639-1 code."""
    return _language(language)


def _language(code: str) -> BuiltCheck:
    wanted = parse_rule(f"language={code}").describe()

    def check(answer: str) -> str | None:
        other = other_language(answer.lower(), code.lower())  # capitals alone mislead the identifier
        return f"seems to be in {other}" if other else None

    return wanted, check


def english_capital() -> BuiltCheck:
    """English, without a small letter."""
    return _cased("capital", str.isupper)


def english_lowercase() -> BuiltCheck:
    """English, without a capital letter."""
    return _cased("lowercase", str.islower)


def _cased(case: str, is_case: Callable[[str], bool]) -> BuiltCheck:
    _, in_english = _language("en")

    def check(answer: str) -> str | None:
        if is_case(answer):
            return in_english(answer)
        wrong = next((word for word in text.words(answer) if not is_case(word) and any(map(str.isalpha, word))), "")
        return f'has letters that are not {case}, as in "{wrong}"' if wrong else f"has no {case} letters"

    return f"English in {case} letters only", check
