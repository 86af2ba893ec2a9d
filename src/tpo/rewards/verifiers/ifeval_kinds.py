"""The 25 checkable instructions of IFEval: their arguments, what they require, how an answer is checked.

Which answers follow an instruction is as published: Zhou et al., "Instruction-Following Evaluation for Large
Language Models", arXiv 2311.07911, and the verdicts of the program that belongs to it. Where the words of an
instruction and that program disagree, the program is followed; docs/verifiers.md lists the known differences.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

from tpo.rewards.rule_kinds import Check
from tpo.rewards.verifiers import ifeval_form as form
from tpo.rewards.verifiers import ifeval_words as words


class InstructionKind(NamedTuple):
    """A kind of instruction.

    Attributes:
        build: takes the arguments, returns what is required in words and the check of an answer; raises
            ValueError with what is wrong with an argument.
        arguments: the names of the arguments and their types.
    """

    build: Callable[..., tuple[str, Check]]
    arguments: Mapping[str, type] = MappingProxyType({})


KINDS: dict[str, InstructionKind] = {
    "change_case:capital_word_frequency": InstructionKind(
        words.capital_word_frequency, {"capital_relation": str, "capital_frequency": int}
    ),
    "change_case:english_capital": InstructionKind(words.english_capital),
    "change_case:english_lowercase": InstructionKind(words.english_lowercase),
    "combination:repeat_prompt": InstructionKind(form.repeat_prompt, {"prompt_to_repeat": str}),
    "combination:two_responses": InstructionKind(form.two_responses),
    "detectable_content:number_placeholders": InstructionKind(form.number_placeholders, {"num_placeholders": int}),
    "detectable_content:postscript": InstructionKind(form.postscript, {"postscript_marker": str}),
    "detectable_format:constrained_response": InstructionKind(form.constrained_response),
    "detectable_format:json_format": InstructionKind(form.json_format),
    "detectable_format:multiple_sections": InstructionKind(
        form.multiple_sections, {"section_spliter": str, "num_sections": int}
    ),
    "detectable_format:number_bullet_lists": InstructionKind(form.number_bullet_lists, {"num_bullets": int}),
    "detectable_format:number_highlighted_sections": InstructionKind(
        form.number_highlighted_sections, {"num_highlights": int}
    ),
    "detectable_format:title": InstructionKind(form.title),
    "keywords:existence": InstructionKind(words.existence, {"keywords": list}),
    "keywords:forbidden_words": InstructionKind(words.forbidden_words, {"forbidden_words": list}),
    "keywords:frequency": InstructionKind(words.frequency, {"keyword": str, "frequency": int, "relation": str}),
    "keywords:letter_frequency": InstructionKind(
        words.letter_frequency, {"letter": str, "let_frequency": int, "let_relation": str}
    ),
    "language:response_language": InstructionKind(words.response_language, {"language": str}),
    "length_constraints:nth_paragraph_first_word": InstructionKind(
        form.nth_paragraph_first_word, {"num_paragraphs": int, "nth_paragraph": int, "first_word": str}
    ),
    "length_constraints:number_paragraphs": InstructionKind(form.number_paragraphs, {"num_paragraphs": int}),
    "length_constraints:number_sentences": InstructionKind(
        words.number_sentences, {"num_sentences": int, "relation": str}
    ),
    "length_constraints:number_words": InstructionKind(words.number_words, {"num_words": int, "relation": str}),
    "punctuation:no_comma": InstructionKind(form.no_comma),
    "startend:end_checker": InstructionKind(form.end_checker, {"end_phrase": str}),
    "startend:quotation": InstructionKind(form.quotation),
}


def built(kind: InstructionKind, arguments: dict[str, Any]) -> tuple[str, Check]:
    """What an instruction requires in words, and its check.

    Args:
        kind: the kind of instruction.
        arguments: those of the kind; others that are None are ignored, as data sets fill them in.

    Raises:
        ValueError: an argument is missing, unknown or of another type.
    """
    given = {name: value for name, value in arguments.items() if value is not None}
    unknown = [name for name in given if name not in kind.arguments]
    if unknown:
        raise ValueError(f"it takes {', '.join(kind.arguments) or 'no arguments'}, not {unknown[0]!r}")
    for name, wanted in kind.arguments.items():
        value = given.get(name)
        if isinstance(value, float) and value.is_integer():  # pandas makes floats of numbers beside missing ones
            value = given[name] = int(value)
        if not isinstance(value, wanted) or isinstance(value, bool) or value in ("", []):
            raise ValueError(f"its argument {name!r} is {value!r}; a {_NAMES[wanted]} is expected")
    return kind.build(**given)


_NAMES = {str: "text", int: "whole number", list: "list of words"}
