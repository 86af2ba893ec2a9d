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
    content = "text" if options.plain else "messages"
    rest = {
        ExportFormat.DPO: [
            ("chosen", content),
            ("rejected", content),
            ("score_chosen", "number"),
            ("score_rejected", "number"),
        ],
        ExportFormat.SFT: [("completion", content), ("score", "number")],
        ExportFormat.KTO: [("completion", content), ("label", "truth"), ("score", "number")],
    }[options.format]
    return [ExportColumn("id", "text"), ExportColumn("prompt", content), *(ExportColumn(*column) for column in rest)]
