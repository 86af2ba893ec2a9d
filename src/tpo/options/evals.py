"""The options of evaluations."""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum
from typing import Annotated

import msgspec

from tpo.options.groups import DATA, MEASURES, OUTPUT
from tpo.options.option import Option


class TableFormat(StrEnum):
    """How the table of an evaluation is printed."""

    MARKDOWN = "markdown"
    CSV = "csv"
    LATEX = "latex"
    HTML = "html"


class EvalOptions(msgspec.Struct, frozen=True, kw_only=True):
    """What is measured, and on how much."""

    limit: Annotated[
        int | None,
        Option(help="Most queries of each benchmark, drawn at random.", group=DATA, least=1, metavar="COUNT"),
    ] = None
    subset_seed: Annotated[int, Option(help="Seed of that selection.", group=DATA)] = 0
    judge: Annotated[
        str | None,
        Option(help="The judge: URL, embedded, gguf:PATH or hub:ORG/REPO.", group=MEASURES, metavar="MODEL"),
    ] = None
    judge_model: Annotated[
        str | None, Option(help="The judge's model name, if its server has several.", group=MEASURES, metavar="NAME")
    ] = None
    judge_max_tokens: Annotated[
        int | None,
        Option(
            help="Most tokens of a verdict; each benchmark has its own limit.",
            group=MEASURES,
            least=1,
            metavar="COUNT",
        ),
    ] = None
    held_out: Annotated[
        str | None,
        Option(help="A reward that only measures, as for --reward.", group=MEASURES, metavar="REWARD"),
    ] = None
    against: Annotated[
        str | None,
        Option(
            help="Compare with the answers of this method instead of a benchmark's published baseline.",
            group=MEASURES,
            metavar="METHOD",
        ),
    ] = None
    parameters: Annotated[
        Sequence[str],
        Option(
            help="Parameters of a model (repeatable), such as policy=70B, if its name has no size.",
            group=MEASURES,
            metavar="ROLE=COUNT",
        ),
    ] = ()
    format: Annotated[
        TableFormat, Option(help="How the table is printed; OUT has it in all formats.", group=OUTPUT)
    ] = TableFormat.MARKDOWN
    details: Annotated[bool, Option(help="Show all numbers of each benchmark.", group=OUTPUT)] = False
