"""IFEval's instructions on form: sections, lists, marks, the beginning and the end.

Each function takes the arguments of one instruction and returns what it requires, in words, and its check.
"""

from __future__ import annotations

import json
import re

from tpo.rewards.rule_kinds import Check, amount
from tpo.rewards.verifiers.answers import clipped

BuiltCheck = tuple[str, Check]


def number_paragraphs(num_paragraphs: int) -> BuiltCheck:
    """Exactly so many paragraphs with *** between them."""

    def check(answer: str) -> str | None:
        parts = [part.strip() for part in answer.split("***")]
        if not all(parts[1:-1]):
            return "has nothing between two of its *** dividers"
        found = sum(map(bool, parts))
        return None if found == num_paragraphs else f"has {amount(found, 'paragraph')}"

    return f"exactly {amount(num_paragraphs, 'paragraph')} separated by the divider ***", check


# Where the first word of a paragraph ends.
_WORD_END = re.compile(r"[.,?!'\"]")


def nth_paragraph_first_word(num_paragraphs: int, nth_paragraph: int, first_word: str) -> BuiltCheck:
    """Exactly so many paragraphs with an empty line between them, one of which begins with a given word."""
    if not 1 <= nth_paragraph <= num_paragraphs:
        raise ValueError(f"the paragraph {nth_paragraph} is not one of {num_paragraphs}")

    def check(answer: str) -> str | None:
        parts = answer.split("\n\n")
        found = sum(bool(part.strip()) for part in parts)
        if found != num_paragraphs:
            return f"has {amount(found, 'paragraph')}"
        # Empty ones count here, as published: three line breaks in a row shift the numbers.
        words = parts[nth_paragraph - 1].split()
        if not words:
            return f"has an empty paragraph {nth_paragraph}: put exactly one empty line between paragraphs"
        word = _WORD_END.split(words[0].lstrip("'").lstrip('"'))[0].lower()
        return None if word == first_word.lower() else f'begins paragraph {nth_paragraph} with "{clipped(words[0])}"'

    return (
        f"exactly {amount(num_paragraphs, 'paragraph')} separated by one empty line, of which number "
        f'{nth_paragraph} begins with the word "{first_word}"'
    ), check


def _placeholders(line: str) -> int:
    # Counted by hand: a pattern would take a time that grows with the square of a row of open brackets.
    found, is_open = 0, False
    for bracket in re.findall(r"[\[\]]", line):
        found += is_open and bracket == "]"
        is_open = bracket == "["
    return found


def number_placeholders(num_placeholders: int) -> BuiltCheck:
    """At least so many placeholders in square brackets."""

    def check(answer: str) -> str | None:
        found = sum(map(_placeholders, answer.split("\n")))
        return f"has {amount(found, 'placeholder')}" if found < num_placeholders else None

    return f"at least {amount(num_placeholders, 'placeholder')} in square brackets, such as [address]", check


_POSTSCRIPTS = {"P.P.S": r"p\.\s?p\.\s?s", "P.S.": r"p\.\s?s\."}


def postscript(postscript_marker: str) -> BuiltCheck:
    """A postscript with a given mark."""
    marker = postscript_marker.strip()
    sought = re.compile(_POSTSCRIPTS.get(marker, re.escape(marker.lower())))

    def check(answer: str) -> str | None:
        return None if sought.search(answer.lower()) else "has none"

    return f'a postscript that begins with "{marker}"', check


_OPTIONS = ("My answer is yes.", "My answer is no.", "My answer is maybe.")


def constrained_response() -> BuiltCheck:
    """One of three sentences somewhere."""

    def check(answer: str) -> str | None:
        return None if any(option in answer for option in _OPTIONS) else "has none of them"

    return f"one of the sentences {', '.join(_OPTIONS)}", check


def json_format() -> BuiltCheck:
    """JSON, with or without a fence."""

    def check(answer: str) -> str | None:
        body = re.sub(r"^```(?:json|Json|JSON)?", "", answer.strip()).removesuffix("```")
        try:
            json.loads(body)
        except json.JSONDecodeError as error:
            return f"is no JSON: {error.msg} at line {error.lineno}, column {error.colno}"
        except (ValueError, RecursionError) as error:
            return f"is no usable JSON: {clipped(str(error))}"
        return None

    return "JSON and nothing else", check


def multiple_sections(section_spliter: str, num_sections: int) -> BuiltCheck:
    """At least so many sections, each under its number."""
    mark = section_spliter.strip()
    heading = re.compile(rf"{re.escape(mark)}\s?\d+")

    def check(answer: str) -> str | None:
        found = len(heading.findall(answer))
        return f"has {amount(found, 'section')}" if found < num_sections else None

    return f"at least {amount(num_sections, 'section')}, each begun with {mark} and its number", check


def number_bullet_lists(num_bullets: int) -> BuiltCheck:
    """Exactly so many bullet points; only * and - count."""

    def check(answer: str) -> str | None:
        found = sum(bool(re.match(r"\s*(?:\*[^*]|-)", line)) for line in answer.split("\n"))
        return f"has {amount(found, 'bullet point')}" if found != num_bullets else None

    return f'exactly {amount(num_bullets, "bullet point")}, each a line that begins with "* "', check


def number_highlighted_sections(num_highlights: int) -> BuiltCheck:
    """At least so many *highlighted* parts."""

    def check(answer: str) -> str | None:
        single = re.findall(r"\*([^\n*]*)\*", answer)
        double = re.findall(r"\*\*([^\n*]*)\*\*", answer)
        found = sum(bool(part.strip()) for part in [*single, *double])
        return f"has {amount(found, 'highlighted part')}" if found < num_highlights else None

    return f"at least {amount(num_highlights, 'part')} highlighted as in *highlighted*", check


def _has_title(line: str) -> bool:
    start, end = line.find("<<"), line.rfind(">>")
    return 0 <= start < end - 2 and bool(line[start:end].lstrip("<").rstrip(">").strip())


def title() -> BuiltCheck:
    """A title in double angular brackets."""

    def check(answer: str) -> str | None:
        return None if any(map(_has_title, answer.split("\n"))) else "has none"

    return "a title in double angular brackets, such as <<a title>>", check


def two_responses() -> BuiltCheck:
    """Two different responses with six asterisks between them."""

    def check(answer: str) -> str | None:
        parts = [part.strip() for part in answer.split("******")]
        found = [part for part in parts if part]
        if not all(parts[1:-1]) or len(found) != 2:
            return f"has {amount(len(found), 'response')} between such lines"
        return "gives the same response twice" if found[0] == found[1] else None

    return "two different responses separated by ******", check


def repeat_prompt(prompt_to_repeat: str) -> BuiltCheck:
    """The request, word for word, and then the answer."""
    wanted = prompt_to_repeat.strip().lower()

    def check(answer: str) -> str | None:
        begun = answer.strip()
        return None if begun.lower().startswith(wanted) else f'begins with "{clipped(begun, 60)}"'

    return f'first the request, word for word: "{clipped(prompt_to_repeat)}"', check


def end_checker(end_phrase: str) -> BuiltCheck:
    """A given phrase at the very end."""
    wanted = end_phrase.strip().lower()

    def check(answer: str) -> str | None:
        ended = answer.strip().strip('"')
        return None if ended.lower().endswith(wanted) else f'ends with "{clipped(ended[-60:])}"'

    return f'the phrase "{end_phrase.strip()}" at the end, and nothing after it', check


def quotation() -> BuiltCheck:
    """All of it in double quotation marks."""

    def check(answer: str) -> str | None:
        body = answer.strip()
        wrapped = len(body) > 1 and body[0] == body[-1] == '"'
        return None if wrapped else "does not begin and end with one"

    return 'all of the answer in double quotation marks (")', check


def no_comma() -> BuiltCheck:
    """No comma."""

    def check(answer: str) -> str | None:
        found = answer.count(",")
        return f"has {amount(found, 'comma')}" if found else None

    return "no comma anywhere", check
