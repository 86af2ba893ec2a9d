"""Paired differences between methods, as they are and at equal tokens."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import fmean
from typing import Any, NamedTuple

from tpo.experiments.bank import Expected, overall
from tpo.experiments.results import ModelResults, main_of, tokens_of
from tpo.experiments.rules import curve_of, matched
from tpo.experiments.shortened import searches, shortened
from tpo.stats import Estimate, difference_of, holm, paired_p
from tpo.tables import DASH, MARK, Part, shown, significant


class Gap(NamedTuple):
    """A paired difference between two methods.

    Attributes:
        method: the first.
        other: the second, which is subtracted.
        gap: the difference in the main column.
        p: its p-value, not corrected.
        tokens: completion tokens of the first as a share of the second's.
        note: what else is to be known of the second.
    """

    method: str
    other: str
    gap: Estimate
    p: float
    tokens: float
    note: str = ""


def gaps(results: ModelResults, baselines: Sequence[str]) -> list[Gap]:
    """How far each method is above each baseline, over the queries that both have."""
    found = []
    for other in [label for label in baselines if label in results.methods]:
        for label in results.methods:
            measure = main_of(results)
            queries = results.queries([label, other], measure)
            if label != other and label not in baselines[: baselines.index(other)] and queries:
                ours, theirs = (results.values(one, measure, queries) for one in (label, other))
                tokens = (fmean(results.values(one, tokens_of, queries)) for one in (label, other))
                gap = difference_of(ours, theirs, results.main.scale)
                found.append(Gap(label, other, gap, paired_p(ours, theirs), ratio(*tokens)))
    return found


def gaps_at_equal_tokens(results: ModelResults, baselines: Sequence[str]) -> list[Gap]:
    """How far each method is above others that spend as many completion tokens.

    Those are best-of-n, from the bank, and each baseline that spends more, ended early. Best-of-n that stops at the
    maximum, from the bank, is compared with the baselines as well.
    """
    found = []
    others = [label for label in baselines if label in results.methods and label != results.bank_label]
    for label in results.methods:
        found += _above_best_of_n(results, label)
        for other in others:
            queries = _with_searches(results, other, results.queries([label, other], main_of(results)))
            if label != other and queries:
                found += _above_shortened(results, label, _spent(results, label, queries), other, queries)
    for other in others if results.maximum is not None else ():
        queries = _with_searches(results, other, _with_bank(results, other))
        if queries:
            size = results.bank_size()
            ours = curve_of(results, queries, stops=True)(size)
            found += _above_shortened(results, f"best of {size}, stops at the maximum", ours, other, queries)
    return found


def _above_best_of_n(results: ModelResults, label: str) -> list[Gap]:
    queries = _with_bank(results, label)
    if label == results.bank_label or not queries:
        return []
    found = []
    ours = _spent(results, label, queries)
    tokens = overall(ours).tokens
    for stops in (False, True) if results.maximum is not None else (False,):
        best = matched(results, queries, tokens, stops=stops)
        if best is not None:
            n, each = best
            short = n >= results.bank_size() and overall(each).tokens < 0.98 * tokens
            name = "best of n, stops at the maximum" if stops else "best of n"
            found.append(_gap(results, (label, ours), (name, each), f"n = {n:.1f}" + " (all of the bank)" * short))
    return found


def _above_shortened(
    results: ModelResults, label: str, ours: list[Expected], other: str, queries: Sequence[str]
) -> list[Gap]:
    tokens = overall(ours).tokens
    if tokens >= fmean(results.values(other, tokens_of, queries)):
        return []
    n, each = shortened(results, other, queries, tokens)
    return [_gap(results, (label, ours), (f"{other}, ended early", each), f"after {n:.1f} answers")]


def _with_bank(results: ModelResults, label: str) -> list[str]:
    return [query for query in results.queries([label], main_of(results)) if query in results.bank]


def _with_searches(results: ModelResults, label: str, queries: Sequence[str]) -> list[str]:
    return [query for query in queries if searches(results, label, query)]


def _spent(results: ModelResults, label: str, queries: Sequence[str]) -> list[Expected]:
    """What a method brought for each query; the number of its answers is of no use here, and is 0."""
    values, tokens = (results.values(label, measure, queries) for measure in (main_of(results), tokens_of))
    return [Expected(value, spent, 0) for value, spent in zip(values, tokens, strict=True)]


def _gap(
    results: ModelResults, one: tuple[str, Sequence[Expected]], other: tuple[str, Sequence[Expected]], note: str
) -> Gap:
    """One rule or method against another on the same queries."""
    ours, theirs = ([each.value for each in some] for some in (one[1], other[1]))
    share = ratio(overall(one[1]).tokens, overall(other[1]).tokens)
    gap = difference_of(ours, theirs, results.main.scale)
    return Gap(one[0], other[0], gap, paired_p(ours, theirs), share, note)


def ratio(one: float, other: float) -> float:
    """One number as a share of another; 0 where that is 0, such as the tokens of models that count none."""
    return one / other if other else 0.0


def gap_part(caption: str, found: Sequence[Gap], percent: bool) -> Part:
    """Differences as a table; significant ones are marked, after Holm's correction over all of them."""
    marks = significant([one.p for one in found])
    rows = [
        [
            one.method,
            one.other,
            shown(one.gap, 1 if percent else 3, signed=True) + (MARK if marked else ""),
            f"{one.p:.3f}",
            f"{one.tokens:.0%}",
            str(one.gap.n),
            one.note or DASH,
        ]
        for one, marked in zip(found, marks, strict=True)
    ]
    headings = ["method", "against", "difference", "p", "completion tokens", "queries", "note"]
    return Part(caption, headings, rows)


def gap_records(kind: str, found: Sequence[Gap], model: str = "") -> list[dict[str, Any]]:
    """Differences as records, with p-values after Holm's correction."""
    corrected = holm([one.p for one in found])
    return [
        {
            "model": model,
            "kind": kind,
            "method": one.method,
            "against": one.other,
            "difference": one.gap.value,
            "low": one.gap.low,
            "high": one.gap.high,
            "queries": one.gap.n,
            "p": one.p,
            "p_holm": p,
            "token_share": one.tokens,
            "note": one.note,
        }
        for one, p in zip(found, corrected, strict=True)
    ]
