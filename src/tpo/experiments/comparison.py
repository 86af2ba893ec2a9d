"""The tables of an experiment: means, rules on the bank, wins."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import fmean
from typing import Any

from tpo.evals.costs import FORWARD
from tpo.experiments.differences import ratio
from tpo.experiments.guards import judge_gain
from tpo.experiments.results import REWARD, ModelResults, growth, main_of, tokens_of
from tpo.experiments.rules import Evaluated, evaluated, matched, reference
from tpo.stats import Estimate, difference_of, mean_of, share_of
from tpo.tables import DASH, Part, shown, without_empty_columns

TERA = 1e12
# The held-out judge's mean score of the answers, and by how much it exceeds that of the first samples.
JUDGE = "judge (gain)"


def means(results: ModelResults, size: float | None) -> tuple[Part, list[dict[str, Any]]]:
    """The mean of each method over the queries that all methods have, as a table and as records.

    Args:
        results: the model's outcomes.
        size: its parameters, for FLOPs; None where they are not known.
    """
    queries, main = results.shared, results.main
    rows, records = [], []
    for label in results.methods:
        values = results.values(label, main_of(results), queries)
        estimate = share_of(values, 100) if main.unit == "%" else mean_of(values, main.scale)
        rewards = results.values(label, lambda one: one.reward, queries)
        completion, prompt, calls, stages, seconds, length = (
            fmean(results.values(label, measure, queries))
            for measure in (
                tokens_of,
                lambda one: one.prompt,
                lambda one: one.calls,
                lambda one: one.stages,
                lambda one: one.seconds,
                lambda one: one.characters,
            )
        )
        longer = growth(results, label, queries)
        judged = results.values(label, lambda one: one.judge, queries)
        gained = results.values(label, judge_gain, queries)
        flops = None if size is None else FORWARD * size * (completion + prompt)
        leaked = sum(one.leaked for query in queries for one in results.outcomes(label, query))
        digits = 1 if main.unit == "%" else 3
        rows.append(
            [
                label,
                shown(estimate, digits),
                f"{fmean(rewards):.3f}" if rewards and main.name != REWARD else DASH,
                f"{fmean(judged):.3f}" + (f" ({fmean(gained):+.3f})" if gained else "") if judged else DASH,
                f"{completion:.0f}",
                f"{prompt:.0f}",
                f"{stages:.1f}",
                f"{seconds:.1f}",
                DASH if flops is None else f"{flops / TERA:.2f}",
                f"{length:.0f}",
                DASH if longer is None else f"{longer:+.0%}",
            ]
        )
        records.append(
            {
                "model": results.model,
                "method": label,
                "queries": len(queries),
                "seeds": len({one.seed for query in queries for one in results.outcomes(label, query)}),
                main.name: estimate.value,
                "low": estimate.low,
                "high": estimate.high,
                "reward": fmean(rewards) if rewards else None,
                "judge": fmean(judged) if judged else None,
                "judge_gain": fmean(gained) if gained else None,
                "completion_tokens": completion,
                "prompt_tokens": prompt,
                "calls": calls,
                "stages": stages,
                "seconds": seconds,
                "flops": flops,
                "characters": length,
                "growth": longer,
                "leaked": leaked,
            }
        )
    title = f"{main.title}, %" if main.unit == "%" else main.title
    headings = [
        "method",
        title,
        "reward",
        JUDGE,
        "completion",
        "prompt",
        "stages",
        "seconds",
        "TFLOPs",
        "length",
        "growth",
    ]
    caption = f"{results.model}: means over {len(queries)} queries, {_seeds(results.seeds)}"
    return without_empty_columns(Part(caption, headings, rows)), records


def _seeds(seeds: Sequence[int]) -> str:
    return f"seed{'s' if len(seeds) > 1 else ''} {', '.join(map(str, seeds))}"


def rules(results: ModelResults) -> tuple[Part, list[dict[str, Any]]] | None:
    """Selection and stop rules on the bank, beside the best of the whole bank; None without a bank."""
    whole = reference(results)
    if whole is None:
        return None
    scale, digits = results.main.scale, 1 if results.main.unit == "%" else 3
    rows, records = [], []
    for one in evaluated(results):
        mean = one.mean
        ours, theirs = ([each.value for each in rule.each] for rule in (one, whole))
        gap = difference_of(ours, theirs, scale)
        equal = _at_equal_tokens(results, one) if one.stops else None
        rows.append(
            [
                one.label,
                f"{scale * mean.value:.{digits}f}",
                "the same" if ours == theirs else shown(gap, digits, signed=True),
                DASH if equal is None else shown(equal, digits, signed=True),
                f"{mean.draws:.1f}",
                f"{mean.tokens:.0f}",
                f"{ratio(mean.tokens, whole.mean.tokens):.0%}",
            ]
        )
        records.append(
            {
                "model": results.model,
                "rule": one.label,
                "queries": len(one.queries),
                "value": scale * mean.value,
                "difference": gap.value,
                "low": gap.low,
                "high": gap.high,
                "difference_at_equal_tokens": None if equal is None else equal.value,
                "low_at_equal_tokens": None if equal is None else equal.low,
                "high_at_equal_tokens": None if equal is None else equal.high,
                "draws": mean.draws,
                "completion_tokens": mean.tokens,
                "token_share": ratio(mean.tokens, whole.mean.tokens),
            }
        )
    banks = sum(map(len, results.bank.values()))
    caption = (
        f"{results.model}: rules on the bank {results.bank_label} ({len(results.bank)} queries, {banks} banks of "
        f"{results.bank_size()} answers), without any further call"
    )
    title = f"{results.main.title}, %" if results.main.unit == "%" else results.main.title
    headings = ["rule", title, f"against {whole.label}", "at equal tokens", "answers", "completion", "share of tokens"]
    return Part(caption, headings, rows), records


def _at_equal_tokens(results: ModelResults, rule: Evaluated) -> Estimate | None:
    """How far a rule is above best-of-n that draws all at once and spends as many tokens."""
    best = matched(results, rule.queries, rule.mean.tokens, stops=False)
    if best is None:
        return None
    ours, theirs = ([each.value for each in some] for some in (rule.each, best[1]))
    return difference_of(ours, theirs, results.main.scale)


def wins(results: ModelResults) -> Part | None:
    """How often the row's answer has a higher reward than the column's, in percent, a tie counting half."""
    if len(results.methods) < 2:
        return None
    rows = []
    for label in results.methods:
        cells = [label]
        for other in results.methods:
            share = win_share(results, label, other)
            cells.append(DASH if share is None or label == other else f"{100 * share:.0f}")
        rows.append(cells)
    caption = f"{results.model}: queries won by reward, %, a tie counting half; row against column"
    return Part(caption, ["method", *results.methods], rows)


def win_share(results: ModelResults, label: str, other: str) -> float | None:
    """The share of shared queries where one method's reward, a mean over seeds, is above another's."""
    found = []
    for query in results.queries([label, other]):
        one, two = (results.value(name, lambda seen: seen.reward, query) for name in (label, other))
        if one is not None and two is not None:
            found.append(0.5 if one == two else float(one > two))
    return fmean(found) if found else None
