"""`verifier:ifeval`: how many of its checkable instructions an answer follows."""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from tpo.errors import InputError
from tpo.rewards.protocol import Score
from tpo.rewards.rule_kinds import Check
from tpo.rewards.verifiers.ifeval_kinds import KINDS, built
from tpo.rewards.verifiers.references import References, as_references, field_of
from tpo.rewards.verifiers.verifier import Verifier


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
    """The share of checkable instructions that an answer follows; see `ifeval_kinds` for where they come from.

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
            raise InputError(f"The mode of ifeval is {mode!r}; it is strict or loose.")
        references = instructions if isinstance(instructions, References) else as_references(_given(instructions))
        super().__init__("ifeval", references, [mode])
        self._mode = mode

    def check(self, answer: str, reference: Instructions) -> Score:
        """Check one answer."""
        variants = [answer] if self._mode == "strict" else loosened(answer)
        faults = [self._fault(one, variants) for one in reference]
        parts: dict[str, float] = {}
        for one, fault in zip(reference, faults, strict=True):
            name = one.id if one.id not in parts else f"{one.id} ({len(parts) + 1})"
            parts[name] = float(fault is None)
        missing = [f"{one.wanted} ({fault})" for one, fault in zip(reference, faults, strict=True) if fault]
        total = len(reference)
        value = (total - len(missing)) / total
        noun = "instruction" if total == 1 else "instructions"
        if not missing:
            return Score(value, parts, "followed the instruction" if total == 1 else f"followed all {total} {noun}")
        return Score(value, parts, f"followed {total - len(missing)} of {total} {noun}; missing: {'; '.join(missing)}")

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
