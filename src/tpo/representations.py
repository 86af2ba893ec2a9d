"""HTML of results for notebooks, from plain values: escaped texts, tables, and a curve of the best reward by step.

A notebook runs no script for it and fetches nothing; colours are those of the notebook.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape

_BORDER = "border:1px solid rgba(128,128,128,.35);border-radius:6px"
_SOFT = "opacity:.7;font-size:.9em"
# The drawing area of the curve, in pixels.
_WIDTH, _HEIGHT, _EDGE = 300, 90, 34


def frame(*parts: str) -> str:
    """Parts one below the other."""
    return f'<div class="tpo" style="max-width:60rem">{"".join(part for part in parts if part)}</div>'


def heading(title: str, facts: Iterable[str] = ()) -> str:
    """A title with facts beside it."""
    shown = " · ".join(escape(fact) for fact in facts if fact)
    return f'<p><strong>{escape(title)}</strong> <span style="{_SOFT}">{shown}</span></p>'


def text_block(text: str) -> str:
    """A text as it stands."""
    style = f"white-space:pre-wrap;overflow-wrap:anywhere;{_BORDER};padding:.6rem .8rem;margin:.4rem 0"
    return f'<div dir="auto" style="{style}">{escape(text)}</div>'


def unfolding(summary: str, *parts: str) -> str:
    """Parts that are hidden until the summary is clicked."""
    return f"<details><summary>{escape(summary)}</summary>{''.join(parts)}</details>"


def table(head: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """A table of values."""
    top = "".join(f'<th style="text-align:left">{escape(cell)}</th>' for cell in head)
    body = "".join(f"<tr>{''.join(_cell(cell) for cell in row)}</tr>" for row in rows)
    return f"<table><thead><tr>{top}</tr></thead><tbody>{body}</tbody></table>"


def _cell(value: object) -> str:
    return f'<td style="text-align:left">{escape(str(value))}</td>'


def rounded(value: float | None) -> str:
    """A number with three decimals; a dash for none."""
    return "–" if value is None else f"{value:.3f}"


def shortened(text: str, limit: int = 80) -> str:
    """The beginning of a text, on one line."""
    flat = " ".join(text[: 4 * limit].split())
    return flat if len(flat) <= limit else f"{flat[: limit - 1]}…"


def curve(values: Sequence[float | None], label: str) -> str:
    """The best reward after each step as a small line chart; nothing where fewer than two steps have one.

    Args:
        values: the best reward after each step, from step 0.
        label: what is drawn.
    """
    points = [(step, value) for step, value in enumerate(values) if value is not None]
    if len(points) < 2:
        return ""
    low, high = min(value for _, value in points), max(value for _, value in points)
    across = (_WIDTH - 2 * _EDGE) / (len(values) - 1)
    up = (_HEIGHT - 40) / ((high - low) or 1.0)
    drawn = [(_EDGE + step * across, _HEIGHT - 22 - (value - low) * up, step, value) for step, value in points]
    path = "M" + "L".join(f"{x:.1f} {y:.1f}" for x, y, _, _ in drawn)
    marks = "".join(
        f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3.5" fill="currentColor"/>'
        f'<text x="{x:.1f}" y="{y - 7:.1f}" text-anchor="middle" font-size="10" fill="currentColor">{value:.3g}</text>'
        f'<text x="{x:.1f}" y="{_HEIGHT - 4}" text-anchor="middle" font-size="10" fill="currentColor">{step}</text>'
        for x, y, step, value in drawn
    )
    return (
        f'<svg role="img" aria-label="{escape(label, quote=True)}" width="{_WIDTH}" height="{_HEIGHT}" '
        f'viewBox="0 0 {_WIDTH} {_HEIGHT}"><path d="{path}" fill="none" stroke="currentColor"/>{marks}</svg>'
    )
