"""The columns of an export."""

from __future__ import annotations

from typing import NamedTuple

from tpo.options import ExportFormat, ExportOptions


class ExportColumn(NamedTuple):
    """A column of a table."""

    name: str
    kind: str


def columns(options: ExportOptions) -> list[ExportColumn]:
    """The columns of the rows, and what each holds: text, messages, number or truth."""
    said = "text" if options.plain else "messages"
    rest = {
        ExportFormat.DPO: [
            ("chosen", said),
            ("rejected", said),
            ("score_chosen", "number"),
            ("score_rejected", "number"),
        ],
        ExportFormat.SFT: [("completion", said), ("score", "number")],
        ExportFormat.KTO: [("completion", said), ("label", "truth"), ("score", "number")],
    }[options.format]
    return [ExportColumn("id", "text"), ExportColumn("prompt", said), *(ExportColumn(*column) for column in rest)]
