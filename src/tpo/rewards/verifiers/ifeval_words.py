"""IFEval's instructions on words: how many, which ones, in what language and case.

Each function of an instruction takes its arguments and returns what it requires, in words, and its check.

IFEval counts words and sentences differently from `tpo.rewards.text`: it splits sentences with NLTK's Punkt and capital
words with its Treebank tokenizer. Both need data from the network, so these are short rules instead;
docs/verifiers.md says how often they differ.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from tpo.rewards import text
from tpo.rewards.languages import other_language
from tpo.rewards.rule_kinds import Check
from tpo.rewards.rules import parse_rule

_WORD = re.compile(r"\w+")

# A stop, what may close after it, and a space: only there does a sentence end, never at a bare line break.
_STOP = re.compile(r"(?<![.!?])[.!?]++[\"'”’)\]}*_]*+(?=\s)")
# Never at the end of a sentence: something always follows.
# fmt: off
_TITLES = {
    "mr", "mrs", "ms", "dr", "prof", "rev", "gen", "col", "sen", "rep", "gov", "capt", "sgt", "lt", "st", "vs",
    "fig", "vol", "e.g", "i.e", "cf", "al",
}
# At the end of a sentence only if a capital letter follows.
_SHORTENED = {
    "jr", "sr", "etc", "inc", "ltd", "co", "corp", "bros", "dept", "jan", "feb", "mar", "apr", "jun", "jul", "aug",
    "sep", "sept", "oct", "nov", "dec", "a.m", "p.m", "u.s", "u.k", "u.n", "d.c", "ph.d", "b.c", "a.d", "approx",
    "ave", "blvd", "ft",
}
# fmt: on
_INITIALS = re.compile(r"(?:[a-hj-z]\.)*[a-hj-z]")  # "I." ends a sentence more often than it is a name
_OPENERS = "\"'“‘([{*_#-"

_TOKEN = re.compile(r"--|[^\s\"“”()\[\]{}<>,;:?!…#&@$%`]+")
_CONTRACTED = re.compile(r"(?<=.)(N['’]T|['’](?:S|M|D|LL|RE|VE))$", re.IGNORECASE)


def words(text: str) -> list[str]:
    """Runs of letters, digits and underscores: "don't" and "3.14" are two each."""
    return _WORD.findall(text)


def sentences(text: str) -> int:
    """How many sentences a text has; a list number such as "1." counts as one, a line without a stop does not."""
    text = text.strip()
    if not text:
        return 0
    return 1 + sum(_ends_sentence(text, stop) for stop in _STOP.finditer(text))


def _ends_sentence(text: str, stop: re.Match[str]) -> bool:
    if stop[0][0] != ".":
        return True
    before = text[max(0, stop.start() - 20) : stop.start()].split()
    word = before[-1].lower().lstrip(_OPENERS) if before else ""
    if word in _TITLES or (_INITIALS.fullmatch(word) and word not in _SHORTENED):
        return False
    if word not in _SHORTENED and not stop[0].startswith(".."):
        return True
    return text[stop.end() : stop.end() + 20].lstrip().lstrip(_OPENERS)[:1].isupper()


def capital_words(text: str) -> list[str]:
    """The words without a small letter; "well-known" is one word, "don't" two."""
    pieces = [piece for token in _TOKEN.findall(text) for piece in _CONTRACTED.split(token) if piece]
    return [piece for piece in pieces if piece.isupper()]


BuiltCheck = tuple[str, Check]


def _counted(
    relation: str, limit: int, thing: str, count: Callable[[str], int], fault: str = "has {} {}"
) -> BuiltCheck:
    """At least, or less than, so many of a thing."""
    if relation not in ("at least", "less than"):
        raise ValueError(f"the relation {relation!r} is unknown; it must be 'at least' or 'less than'")

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
    return _counted(relation, num_words, "word", lambda answer: len(words(answer)))


def number_sentences(num_sentences: int, relation: str) -> BuiltCheck:
    """At least or less than so many sentences."""
    return _counted(relation, num_sentences, "sentence", sentences)


def capital_word_frequency(capital_relation: str, capital_frequency: int) -> BuiltCheck:
    """At least or less than so many words in capital letters."""
    thing = "word in capital letters"
    return _counted(capital_relation, capital_frequency, thing, lambda one: len(capital_words(one)))


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
