"""`verifier:ifeval`: how many of its 25 kinds of checkable instructions an answer follows.

Which answers follow an instruction is as published: Zhou et al., "Instruction-Following Evaluation for Large
Language Models", arXiv 2311.07911, and the verdicts of the program that belongs to it. Where the words of an
instruction and that program disagree, the program is followed; docs/verifiers.md lists the known differences.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, NamedTuple

from tpo.errors import InputError
from tpo.rewards.protocol import Score
from tpo.rewards.rule_kinds import Check
from tpo.rewards.verifiers import ifeval_form as form
from tpo.rewards.verifiers import ifeval_words as words
from tpo.rewards.verifiers.references import References, as_references, field_of
from tpo.rewards.verifiers.verifier import Verifier


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


@dataclass(frozen=True)
class Instruction:
    """One instruction: its id, its arguments, what it requires in words, and its check."""

    id: str
    arguments: tuple[tuple[str, Any], ...]
    # Out of the repr, which must be the same in every process: names of rewards are made of it.
    wanted: str = field(compare=False, repr=False)
    check: Check = field(compare=False, repr=False)

    def broken(self, answer: str) -> str | None:
        """What breaks the instruction, in words; None when the answer follows it. An empty one follows none."""
        if not answer.strip():
            return "the answer is empty"
        fault = self.check(answer)
        return None if fault is None else f"the answer {fault}"


Instructions = tuple[Instruction, ...]


class IFEval(Verifier[Instructions]):
    """The share of checkable instructions that an answer follows; the module says where they come from.

    Args:
        instructions: pairs of an instruction's id and its arguments, or instructions for each query.
        mode: "strict" judges the answer as it is. "loose" is kind to an introduction, a closing line and
            markup: it also tries the answer without its first line, its last line, both, and each of these
            without asterisks, and an instruction is followed if any of them follows it.

    Raises:
        InputError: an instruction or the mode is unknown, or an argument does not fit.
    """

    def __init__(
        self, instructions: Sequence[tuple[str, Mapping[str, Any]]] | References[Instructions], mode: str = "strict"
    ) -> None:
        if mode not in ("strict", "loose"):
            raise InputError(f"The mode of ifeval is {mode!r}; it must be strict or loose.")
        references = instructions if isinstance(instructions, References) else as_references(_given(instructions))
        super().__init__("ifeval", references, [mode])
        self._mode = mode

    def check(self, answer: str, reference: Instructions) -> Score:
        """Check one answer."""
        variants = [answer] if self._mode == "strict" else loosened(answer)
        faults = [self._fault(one, variants) for one in reference]
        parts: dict[str, float] = {}
        missing: dict[str, str] = {}
        for one, fault in zip(reference, faults, strict=True):
            name = one.id if one.id not in parts else f"{one.id} ({len(parts) + 1})"
            parts[name] = float(fault is None)
            if fault:
                missing[name] = f"{one.wanted} ({fault})"
        total = len(reference)
        value = (total - len(missing)) / total
        noun = "instruction" if total == 1 else "instructions"
        if not missing:
            return Score(value, parts, "followed the instruction" if total == 1 else f"followed all {total} {noun}")
        words = "; ".join(missing.values())
        return Score(value, parts, f"followed {total - len(missing)} of {total} {noun}; missing: {words}", missing)

    @staticmethod
    def _fault(one: Instruction, variants: list[str]) -> str | None:
        first = one.broken(variants[0])
        if first is None or any(one.broken(variant) is None for variant in variants[1:]):
            return None
        return first


def loosened(answer: str) -> list[str]:
    """The eight forms of an answer that loose judging tries (arXiv 2311.07911), the answer itself first."""
    lines = answer.split("\n")
    cut = ["\n".join(part).strip() for part in (lines[1:], lines[:-1], lines[1:-1])]
    forms = [answer, *cut]
    return forms + [form.replace("*", "") for form in forms]


def instruction(id: str, arguments: Mapping[str, Any]) -> Instruction:
    """Read one instruction.

    Args:
        id: such as "length_constraints:number_words".
        arguments: such as {"num_words": 80, "relation": "at least"}; None stands for one that is not given.

    Raises:
        ValueError: the id is unknown, or an argument does not fit.
    """
    kind = KINDS.get(id)
    if kind is None:
        near = difflib.get_close_matches(str(id), KINDS, n=1)
        hint = f"did you mean {near[0]}?" if near else f"known ones are {', '.join(KINDS)}"
        raise ValueError(f"the instruction {id!r} is unknown; {hint}")
    try:
        wanted, check = built(kind, dict(arguments))
    except (ValueError, InputError) as error:
        raise ValueError(f"the instruction {id} cannot be used: {error}") from error
    kept = tuple(sorted((name, value) for name, value in arguments.items() if value is not None))
    return Instruction(id, kept, wanted, check)


def instructions_of(row: Mapping[str, Any]) -> Instructions:
    """The instructions of a line in IFEval's own format: fields instruction_id_list and kwargs.

    Raises:
        ValueError: the fields are missing or do not fit each other, or an instruction cannot be used.
    """
    ids, arguments = field_of(row, "instruction_id_list"), field_of(row, "kwargs")
    if not isinstance(ids, list) or not isinstance(arguments, list) or not ids or len(ids) != len(arguments):
        raise ValueError("instruction_id_list and kwargs are not two lists of the same length, with at least one entry")
    if not all(isinstance(one, Mapping) for one in arguments):
        raise ValueError("an entry of kwargs is no object")
    return tuple(instruction(one, given) for one, given in zip(ids, arguments, strict=True))


def _given(instructions: Sequence[tuple[str, Mapping[str, Any]]]) -> Instructions:
    if not instructions:
        raise InputError("There is no instruction to check: give at least one id with its arguments.")
    try:
        return tuple(instruction(id, arguments) for id, arguments in instructions)
    except (TypeError, ValueError) as error:
        raise InputError(f"The instructions cannot be used: {error}.") from error
