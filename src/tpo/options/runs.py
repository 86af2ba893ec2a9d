"""The options of runs over a dataset, and of exports from them."""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum
from typing import Annotated

import msgspec

from tpo.errors import InputError
from tpo.options.groups import CLUSTER, DATA, OUTPUT, PAIRS, RESUME, SAMPLING, SPEED
from tpo.options.option import Option, check


class RunOptions(msgspec.Struct, frozen=True, kw_only=True):
    """How a dataset is run; none of these decides an answer, but for the budget."""

    total_budget_tokens: Annotated[
        int | None,
        Option(
            help="Completion tokens of all queries together. Each query draws its first answers; the rest is spent "
            "where the expected gain is largest.",
            group=SAMPLING,
            least=1,
            metavar="COUNT",
        ),
    ] = None
    column: Annotated[str | None, Option(help="The column that holds the query.", group=DATA, metavar="NAME")] = None
    split: Annotated[
        str | None, Option(help="The split to read, if the dataset has several.", group=DATA, metavar="NAME")
    ] = None
    skip_bad_rows: Annotated[
        bool,
        Option(
            help="Rows without a query: stop before the run begins, or skip them.",
            group=DATA,
            flag="on-bad-row",
            words={"stop": False, "skip": True},
        ),
    ] = False
    concurrency: Annotated[
        int | None,
        Option(
            help="Sequences in flight at each server; measured unless given.",
            group=SPEED,
            least=1,
            metavar="COUNT",
        ),
    ] = None
    patience: Annotated[
        float,
        Option(help="Seconds for which tpo retries a server that is down.", group=SPEED, least=0, metavar="SECONDS"),
    ] = 1800.0
    fresh: Annotated[bool, Option(help="Start again; earlier files are moved aside.", group=RESUME)] = False
    retry_failed: Annotated[bool, Option(help="Try the failed queries again.", group=RESUME)] = False
    input_order: Annotated[
        bool,
        Option(
            help="Order of the answers: as queries finish, or sorted as in the data at the end.",
            group=OUTPUT,
            flag="order",
            words={"finished": False, "input": True},
        ),
    ] = False
    parquet: Annotated[bool, Option(help="Write answers.parquet as well.", group=OUTPUT)] = False
    prices: Annotated[
        Sequence[str],
        Option(
            help="Price of a million tokens (repeatable), such as policy=0.15/0.60.",
            group=OUTPUT,
            flag="price",
            metavar="ROLE=PROMPT/COMPLETION",
        ),
    ] = ()


class ClusterOptions(msgspec.Struct, frozen=True, kw_only=True):
    """Where a run finds other machines."""

    ray: Annotated[
        str | None,
        Option(
            help="Spread the queries over a Ray cluster: auto, local, HOST:PORT or ray://HOST:PORT.",
            group=CLUSTER,
            metavar="ADDRESS",
        ),
    ] = None
    ray_workers: Annotated[
        int | None,
        Option(help="Number of workers; one on each node unless given.", group=CLUSTER, least=1, metavar="COUNT"),
    ] = None
    ray_rewards: Annotated[
        int | None,
        Option(
            help="Number of actors for an in-process reward; one on each GPU, or one, unless given.",
            group=CLUSTER,
            least=1,
            metavar="COUNT",
        ),
    ] = None


class ExportFormat(StrEnum):
    """What is made of a pool.

    DPO: pairs of a chosen and a rejected answer. SFT: the best answer. KTO: the same answers as for DPO, one a row and
    labelled: the best is desirable, the rejected ones are not.
    """

    DPO = "dpo"
    SFT = "sft"
    KTO = "kto"


class PairRule(StrEnum):
    """Which answers are rejected: the worst, or each that is worse than the best (the worst first)."""

    BEST_WORST = "best-worst"
    BEST_EACH = "best-each"


class ExportOptions(msgspec.Struct, frozen=True, kw_only=True):
    """What is exported."""

    format: Annotated[
        ExportFormat,
        Option(help="Pairs (dpo), the best answers (sft), or answers labelled desirable or not (kto).", group=OUTPUT),
    ]
    plain: Annotated[bool, Option(help="Texts instead of chat messages.", group=OUTPUT)] = False
    pairs: Annotated[
        PairRule,
        Option(help="Reject the worst answer of a query, or each that is worse than the best.", group=PAIRS),
    ] = PairRule.BEST_WORST
    min_gap: Annotated[
        float, Option(help="Least difference of the rewards of a pair.", group=PAIRS, least=0, metavar="REWARD")
    ] = 0.0
    max_pairs: Annotated[
        int | None,
        Option(help="Most pairs of a query with best-each, the worst first.", group=PAIRS, least=1, metavar="COUNT"),
    ] = None
    min_reward: Annotated[
        float | None, Option(help="Least reward of a best answer.", group=PAIRS, metavar="REWARD")
    ] = None
    improved_only: Annotated[
        bool, Option(help="Only best answers that beat the query's first sample.", group=PAIRS)
    ] = False
    keep_cut: Annotated[bool, Option(help="Allow answers that were cut off as the best.", group=PAIRS)] = False

    def check(self) -> None:
        """Check that the options fit together.

        Raises:
            InputError: they do not, or one is out of range.
        """
        check(self)
        paired = self.min_gap or self.max_pairs is not None or self.pairs is not PairRule.BEST_WORST
        if self.format is ExportFormat.SFT and paired:
            raise InputError("--pairs, --min-gap and --max-pairs are for dpo and kto: sft has no rejected answers.")
        if self.max_pairs is not None and self.pairs is PairRule.BEST_WORST:
            raise InputError("--max-pairs is for --pairs best-each: best-worst gives one pair a query.")
