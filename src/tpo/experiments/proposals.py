"""How good a single later answer is: what a method's steps write, against fresh samples for the same queries.

An answer is later where its prompt is another than the plain question, whatever wave it came in. A method's queries
with later answers are those where its plain ones were not good enough. The bank's answers to these queries, without
those that the same seed makes the same, show without bias what sampling once more would have brought.
Searches end when an answer is good enough, so means of a query's later answers would be too high; the sum of their
surplus over the bank's mean is not, since its expectation stays zero wherever a search ends.
"""

from __future__ import annotations

from statistics import fmean
from typing import Any

from tpo.experiments.results import ModelResults, Worth
from tpo.stats import mean_of, sign_flips
from tpo.tables import MARK, Part, shown, significant


def proposals(results: ModelResults) -> tuple[Part, list[dict[str, Any]]] | None:
    """Later answers of each method against the bank's; None without a bank or later answers."""
    measures: dict[str, Worth] = {results.main.title: results.worth, "reward": lambda seen: seen.reward}
    records = []
    for label in results.methods:
        if label == results.bank_label:
            continue
        for name, worth in measures.items():
            record = _compared(results, label, name, worth)
            if record is not None:
                records.append(record)
    if not records:
        return None
    marks = significant([record["p"] for record in records])
    rows = [
        [
            str(record["method"]),
            str(record["measure"]),
            f"{record['later']:.3f}",
            f"{record['fresh']:.3f}",
            shown(record["gap"], 3, signed=True) + (MARK if marked else ""),
            str(record["queries"]),
            str(record["answers"]),
        ]
        for record, marked in zip(records, marks, strict=True)
    ]
    caption = (
        f"{results.model}: one answer of a later step against one fresh sample for the same queries (from the bank)"
    )
    headings = ["method", "measure", "later answer", "fresh sample", "difference", "queries", "later answers"]
    kept = [{name: value for name, value in record.items() if name != "gap"} for record in records]
    return Part(caption, headings, rows), kept


def _compared(results: ModelResults, label: str, name: str, worth: Worth) -> dict[str, Any] | None:
    counts: list[int] = []
    later: list[float] = []  # sums over a query's later answers
    fresh: list[float] = []  # the bank's mean, as often
    for query in results.queries([label]):
        seen = [one for outcome in results.outcomes(label, query) for one in outcome.candidates if one.later]
        ours = [value for one in seen if (value := worth(one)) is not None]
        theirs = [value for one in results.fresh(label, query) if (value := worth(one)) is not None]
        if ours and theirs:
            counts.append(len(ours))
            later.append(sum(ours))
            fresh.append(len(ours) * fmean(theirs))
    if not counts:
        return None
    surplus = [one - other for one, other in zip(later, fresh, strict=True)]
    gap = mean_of(surplus, 1 / fmean(counts))
    return {
        "model": results.model,
        "method": label,
        "measure": name,
        "queries": len(counts),
        "answers": sum(counts),
        "later": sum(later) / sum(counts),
        "fresh": sum(fresh) / sum(counts),
        "difference": gap.value,
        "low": gap.low,
        "high": gap.high,
        "p": sign_flips(surplus),
        "gap": gap,
    }
