"""What may be asked of an export, and the columns that come of it."""

from __future__ import annotations

from enum import StrEnum
from typing import NamedTuple

import msgspec

from tpo.errors import InputError


class Format(StrEnum):
    """What is made of a pool.

    DPO: pairs of a chosen and a rejected answer. SFT: the best answer. KTO: the same answers as for DPO, one a row and
    labelled: the best is desirable, the rejected ones are not.
    """

    DPO = "dpo"
    SFT = "sft"
    KTO = "kto"


class Pairs(StrEnum):
    """Which answers are rejected: the worst, or each that is worse than the best (the worst first)."""

    BEST_WORST = "best-worst"
    BEST_EACH = "best-each"


class ExportOptions(msgspec.Struct, frozen=True, kw_only=True):
    """What is exported.

    Attributes:
        format: what is made of a pool.
        plain: texts instead of chat messages.
        pairs: which answers are rejected.
        min_gap: least reward by which the chosen answer is better than a rejected one.
        max_pairs: most pairs of one query.
        min_reward: least reward of a chosen answer.
        improved_only: only chosen answers that have a higher reward than the query's first sample.
        keep_cut: answers that were cut off may be chosen as well.
    """

    format: Format
    plain: bool = False
    pairs: Pairs = Pairs.BEST_WORST
    min_gap: float = 0.0
    max_pairs: int | None = None
    min_reward: float | None = None
    improved_only: bool = False
    keep_cut: bool = False

    def check(self) -> None:
        """See that the options go together.

        Raises:
            InputError: they do not.
        """
        paired = self.min_gap or self.max_pairs is not None or self.pairs is not Pairs.BEST_WORST
        if self.format is Format.SFT and paired:
            raise InputError("--pairs, --min-gap and --max-pairs are for dpo and kto: sft has no rejected answers.")
        if not self.min_gap >= 0:
            raise InputError(f"min-gap is {self.min_gap}; it is 0 or more.")
        if self.max_pairs is not None and self.max_pairs < 1:
            raise InputError(f"max-pairs is {self.max_pairs}; it is at least 1.")
        if self.max_pairs is not None and self.pairs is Pairs.BEST_WORST:
            raise InputError("--max-pairs is for --pairs best-each: best-worst gives one pair a query.")


class Column(NamedTuple):
    """A column of a table."""

    name: str
    kind: str


def columns(options: ExportOptions) -> list[Column]:
    """The columns of the rows, and what each holds: text, messages, number or truth."""
    said = "text" if options.plain else "messages"
    rest = {
        Format.DPO: [("chosen", said), ("rejected", said), ("score_chosen", "number"), ("score_rejected", "number")],
        Format.SFT: [("completion", said), ("score", "number")],
        Format.KTO: [("completion", said), ("label", "truth"), ("score", "number")],
    }[options.format]
    return [Column("id", "text"), Column("prompt", said), *(Column(*column) for column in rest)]
