"""IFEval: how many prompts, and how many instructions, are followed (Zhou et al., 2023, arXiv 2311.07911).

Strict takes a response as it is. Loose counts an instruction as followed if any of eight forms of the response follows
it: with and without its first line, its last line and its asterisks.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import msgspec

from tpo.errors import InputError
from tpo.evals.benchmarks.protocol import Benchmark, Column, Grade, Graders, Response, Row, Summary, averaged
from tpo.evals.data import QUERIES, Published, Source, chosen
from tpo.rewards.verifiers.ifeval import Instruction, instructions_of, loosened
from tpo.stats import Estimate, share_of


class FollowedCounts(NamedTuple):
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


def followed(response: str, row: Mapping[str, Any]) -> FollowedCounts:
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
    return FollowedCounts(
        tuple(one.id for one in instructions),
        tuple(one.broken(response) is None for one in instructions),
        tuple(_any_follows(one, forms) for one in instructions),
    )


def _any_follows(one: Instruction, forms: Sequence[str]) -> bool:
    return any(one.broken(form) is None for form in forms)


def accuracy(results: Sequence[FollowedCounts]) -> Accuracy:
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


DATA = Published(
    "ifeval",
    QUERIES,
    ("input_data.jsonl", "*.jsonl", "*.json", "*.parquet"),
    ("key", "prompt", "instruction_id_list", "kwargs"),
    "https://huggingface.co/datasets/google/IFEval (ifeval_input_data.jsonl)",
    "google/IFEval@train",
)
_ALL = ("prompt_strict", "instruction_strict", "prompt_loose", "instruction_loose")


class IFEvalBenchmark(Benchmark):
    """541 prompts; not in the paper."""

    name = "ifeval"
    columns = (
        Column("prompt_strict", "IFEval", "%", "prompts of which every instruction is followed, strictly"),
        Column("instruction_strict", "IFEval instructions", "%", "single instructions followed, strictly", main=False),
        Column("prompt_loose", "IFEval loose", "%", "prompts, by any of eight forms of the response", main=False),
        Column("instruction_loose", "IFEval instructions loose", "%", "instructions, by any of the forms", main=False),
    )

    def rows(self, source: Source, limit: int | None = None, seed: int = 0) -> list[Row]:
        """See `Benchmark`."""
        rows = []
        for fields in source.records(DATA):
            about = {name: fields[name] for name in ("key", "instruction_id_list", "kwargs")}
            rows.append(Row(str(fields["key"]), [{"role": "user", "content": str(fields["prompt"])}], about))
        return chosen(rows, limit, seed)

    async def grade(self, row: Row, response: Response, graders: Graders) -> Grade:
        """See `Benchmark`; no judge is needed."""
        found = followed(response.text, row.metadata)
        values = {
            "prompt_strict": float(all(found.strict)),
            "instruction_strict": sum(found.strict) / len(found.strict),
            "prompt_loose": float(all(found.loose)),
            "instruction_loose": sum(found.loose) / len(found.loose),
        }
        return Grade(values, {}, {"ids": found.ids, "strict": found.strict, "loose": found.loose})

    def summary(self, rows: Sequence[Row], grades: Mapping[str, Grade]) -> Summary:
        """See `Benchmark`; an instruction counts once, in whatever prompt it stands."""
        found = averaged(self.columns, rows, grades)
        details = [grades[id].details for id in found.values.get("prompt_strict", {})]
        if not details:
            return found
        numbers = accuracy(
            [FollowedCounts(*(tuple(one[name]) for name in ("ids", "strict", "loose"))) for one in details]
        )
        counts = {id: float(len(grades[id].details["strict"])) for id in found.values["prompt_strict"]}
        return msgspec.structs.replace(
            found,
            estimates={name: getattr(numbers, name) for name in _ALL},
            weights=dict.fromkeys(("instruction_strict", "instruction_loose"), counts),
        )
