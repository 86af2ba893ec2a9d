"""IFEval: how many prompts, and how many instructions, are followed (Zhou et al., 2023, arXiv 2311.07911).

Strict takes a response as it is. Loose counts an instruction as followed if any of eight forms of the response follows
it: with and without its first line, its last line and its asterisks.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from tpo.errors import InputError
from tpo.rewards.verifiers.ifeval import Instruction, instructions_of, loosened
from tpo.stats import Estimate, share_of


class Followed(NamedTuple):
    """What one response follows, instruction by instruction.

    Attributes:
        ids: of the instructions.
        strict: whether the response as it is follows each.
        loose: whether any of its eight forms does.
    """

    ids: tuple[str, ...]
    strict: tuple[bool, ...]
    loose: tuple[bool, ...]


class Accuracy(NamedTuple):
    """The four published numbers, in percent, and one for each kind of instruction.

    Attributes:
        prompt_strict: prompts of which every instruction is followed.
        instruction_strict: instructions that are followed. Its interval takes them as independent, as published
            figures do, though those of one prompt are not.
        prompt_loose: as `prompt_strict`, for the forms.
        instruction_loose: as `instruction_strict`, for the forms.
        by_kind: strict and loose accuracy of the instructions of each id.
    """

    prompt_strict: Estimate
    instruction_strict: Estimate
    prompt_loose: Estimate
    instruction_loose: Estimate
    by_kind: dict[str, tuple[float, float]]


def followed(response: str, row: Mapping[str, Any]) -> Followed:
    """Hold a response against a row of the benchmark.

    Args:
        response: the whole answer; an empty one follows nothing.
        row: with instruction_id_list and kwargs, as published.

    Raises:
        InputError: the row cannot be used.
    """
    try:
        instructions = instructions_of(row)
    except ValueError as error:
        raise InputError(f"The row {row.get('key', '')} of IFEval cannot be used: {error}.") from error
    forms = loosened(response)
    return Followed(
        tuple(one.id for one in instructions),
        tuple(one.broken(response) is None for one in instructions),
        tuple(_any_follows(one, forms) for one in instructions),
    )


def _any_follows(one: Instruction, forms: Sequence[str]) -> bool:
    return any(one.broken(form) is None for form in forms)


def accuracy(results: Sequence[Followed]) -> Accuracy:
    """Sum up what the responses to a benchmark follow.

    Raises:
        InputError: there are no results.
    """
    kinds: dict[str, list[tuple[bool, bool]]] = {}
    for one in results:
        for id, strict, loose in zip(*one, strict=True):
            kinds.setdefault(id, []).append((strict, loose))
    return Accuracy(
        share_of([float(all(one.strict)) for one in results], 100),
        share_of([float(kept) for one in results for kept in one.strict], 100),
        share_of([float(all(one.loose)) for one in results], 100),
        share_of([float(kept) for one in results for kept in one.loose], 100),
        {id: (_percent([one[0] for one in kept]), _percent([one[1] for one in kept])) for id, kept in kinds.items()},
    )


def _percent(kept: Sequence[bool]) -> float:
    return 100 * sum(kept) / len(kept)
