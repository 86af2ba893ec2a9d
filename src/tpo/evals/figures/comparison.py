"""The table of a group of runs: what each method reaches and costs, and how far it is from the others."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import combinations
from typing import Any, NamedTuple

from tpo.engine.result import ArmUsage
from tpo.evals.figures.data import ROLES, FinishedQuery, Group, Run
from tpo.evals.figures.judge import judged_queries
from tpo.runs.summary import add_usage
from tpo.stats import Estimate, difference_of, holm, mean_of, paired_p, share_of
from tpo.tables import DASH, LEVEL, MARK, Part, digits_for, shown

ALL_PAIRS = 5  # runs of which every pair is compared; of more, each is compared with the first
MEANS = ("method", "reward", "over its first sample", "characters", "calls", "tokens", "seconds", "answered")
JUDGED = (
    "method",
    "judge, first sample",
    "judge, answer",
    "gain by the judge",
    "gain in reward",
    "reward up, judge down (%)",
    "queries",
)
ARMS = ("method", "model of the panel", "answers chosen", "answers", "calls", "tokens", "seconds")
PAIRS = ("method", "against", "difference in reward", "queries won (%)", "p", "tokens", "seconds", "queries")


class Means(NamedTuple):
    """What a run reaches and costs, for a query on average.

    Attributes:
        label: the run's name in its group.
        run: the run.
        reward: of the answers.
        gain: how far the answer is above the run's own first sample.
        characters: of the answers.
        calls: requests to policy, critic and editor.
        tokens: prompt and completion tokens of policy, critic and editor.
        seconds: from the first call to the end, under the load that there was.
    """

    label: str
    run: Run
    reward: Estimate
    gain: Estimate
    characters: Estimate
    calls: Estimate
    tokens: Estimate
    seconds: Estimate


class RunPair(NamedTuple):
    """Two runs, over the queries that both answered.

    Attributes:
        label: of the run.
        against: of the other.
        difference: mean difference of the rewards; positive where the run is better.
        wins: share of queries that the run wins, in percent, a tie counting half.
        p: p-value of the difference, corrected by Holm over the pairs of the group.
        tokens: what the run spends for each token of the other; None where that spends none.
        seconds: the same of time.
        queries: how many.
    """

    label: str
    against: str
    difference: Estimate
    wins: Estimate
    p: float
    tokens: float | None
    seconds: float | None
    queries: int


class RunComparison(NamedTuple):
    """A group of runs in numbers.

    Attributes:
        queries: how many all of the runs answered: the means are over these. 0 where there is no such query, and each
            mean is over what its own run answered.
        means: one for each run.
        pairs: the runs against each other.
    """

    queries: int
    means: list[Means]
    pairs: list[RunPair]


def compare(group: Group) -> RunComparison:
    """The means of all runs of a group, and their paired differences."""
    names = group.names()
    ids = group.shared(group.runs)
    means = [_means(names[run.path], run, ids or sorted(run.queries)) for run in group.runs]
    few = len(group.runs) <= ALL_PAIRS
    order = combinations(group.runs, 2) if few else ((group.runs[0], run) for run in group.runs[1:])
    pairs = [
        _pair(names[run.path], run, names[other.path], other, shared)
        for other, run in order
        if (shared := group.shared([run, other]))
    ]
    corrected = holm([pair.p for pair in pairs])
    return RunComparison(len(ids), means, [pair._replace(p=p) for pair, p in zip(pairs, corrected, strict=True)])


def _means(label: str, run: Run, ids: Sequence[str]) -> Means:
    def mean(value: Callable[[FinishedQuery], float]) -> Estimate:
        return mean_of([value(run.queries[id]) for id in ids])

    return Means(
        label,
        run,
        reward=mean(lambda query: query.reward),
        gain=mean(lambda query: query.reward - query.first.reward),
        characters=mean(lambda query: query.characters),
        calls=mean(lambda query: sum(query.usage[role].calls for role in ROLES if role in query.usage)),
        tokens=mean(lambda query: query.tokens),
        seconds=mean(lambda query: query.seconds),
    )


def _pair(label: str, run: Run, against: str, other: Run, ids: Sequence[str]) -> RunPair:
    both = [(run.queries[id], other.queries[id]) for id in ids]
    ours, theirs = ([query.reward for query in side] for side in zip(*both, strict=True))
    wins = [0.5 if one == two else float(one > two) for one, two in zip(ours, theirs, strict=True)]

    def ratio(spent: Callable[[FinishedQuery], float]) -> float | None:
        their = sum(spent(two) for _, two in both)
        return sum(spent(one) for one, _ in both) / their if their else None

    return RunPair(
        label,
        against,
        difference=difference_of(ours, theirs),
        wins=share_of(wins, 100),
        p=paired_p(ours, theirs),
        tokens=ratio(lambda query: query.tokens),
        seconds=ratio(lambda query: query.seconds),
        queries=len(ids),
    )


def parts_of(group: Group, comparison: RunComparison) -> list[Part]:
    """The tables of a group: means, and differences where there are several runs."""
    over = f"{comparison.queries} queries that all of them answered" if comparison.queries else "each run's own queries"
    digits = digits_for([one.reward.value for one in comparison.means])
    rows = [
        [
            one.label,
            shown(one.reward, digits),
            shown(one.gain, digits, signed=True),
            *(f"{number.value:,.0f}" for number in (one.characters,)),
            f"{one.calls.value:.1f}",
            f"{one.tokens.value:,.0f}",
            f"{one.seconds.value:.1f}",
            str(len(one.run.queries)),
        ]
        for one in comparison.means
    ]
    caption = f"{group.title}, reward {group.reward}: means of a query over {over}, with 95 % intervals"
    parts = [Part(caption, list(MEANS), rows)]
    if comparison.pairs:
        pairs = [
            [
                pair.label,
                pair.against,
                shown(pair.difference, digits, signed=True) + (MARK if pair.p < LEVEL else ""),
                shown(pair.wins, 0),
                "< 0.001" if pair.p < 0.001 else f"{pair.p:.3f}",
                *(DASH if part is None else f"{part:.2f}×" for part in (pair.tokens, pair.seconds)),
                str(pair.queries),
            ]
            for pair in comparison.pairs
        ]
        parts.append(Part(f"{group.title}: differences, paired by query, with 95 % intervals", list(PAIRS), pairs))
    return parts + [part for part in (_judged(group), _arms(group)) if part.rows]


def _judged(group: Group) -> Part:
    """What the held-out judges found, over the queries of each run that they scored."""
    names, rows, judges = group.names(), [], set()
    for run in group.runs:
        if not (found := judged_queries(run)):
            continue
        judges |= {one.query.held_out.judge for one in found if one.query.held_out is not None}
        first, answer = (mean_of([getattr(one, name) for one in found]) for name in ("first", "answer"))
        gain, reward = (mean_of([getattr(one, name) for one in found]) for name in ("judged_gain", "gain"))
        apart = share_of([float(one.gain > 0 > one.judged_gain) for one in found], 100)
        digits, of_reward = digits_for([first.value, answer.value]), digits_for([reward.value])
        cells = [shown(first, digits), shown(answer, digits), shown(gain, digits, signed=True)]
        cells += [shown(reward, of_reward, signed=True), shown(apart, 0), str(len(found))]
        rows.append([names[run.path], *cells])
    caption = f"{group.title}, held-out judge {', '.join(sorted(judges))}: means of a query, with 95 % intervals"
    return Part(caption, list(JUDGED), rows)


def _arms(group: Group) -> Part:
    """What each model of a panel brought and cost, over all queries of a run."""
    names, rows = group.names(), []
    for run in group.runs:
        total: dict[str, ArmUsage] = {}
        for query in run.queries.values():
            for arm, used in query.arms:
                add_usage(total.setdefault(arm, ArmUsage()), used)
        for arm, used in total.items():
            counts = (used.wins, used.answers, used.calls, used.prompt_tokens + used.completion_tokens)
            rows.append([names[run.path], arm, *(f"{count:,}" for count in counts), f"{used.seconds:.1f}"])
    return Part(f"{group.title}: models of the panel, over all queries", list(ARMS), rows)


def warnings(group: Group) -> list[str]:
    """What a user should know of each run before trusting its reward."""
    names = group.names()
    return [f"Warning, {group.title}, {names[run.path]}: {one}." for run in group.runs for one in run.warnings]


def remarks(comparisons: Sequence[RunComparison]) -> list[str]:
    """What a reader of the tables must know."""
    found = [
        "Tokens are prompt and completion tokens of policy, critic and editor. Seconds are those of a query among "
        "others that ran at the same time. The reward measures what it steered; a held-out reward or a judge "
        "(tpo eval) may see it otherwise."
    ]
    if any(comparison.pairs for comparison in comparisons):
        found.insert(
            0,
            "A star marks p < 0.05, corrected by Holm for the comparisons of its table: random sign flips, or "
            "McNemar's exact test where all rewards are 0 or 1. Of queries won, a tie counts half.",
        )
    return found


def records(group: Group, comparison: RunComparison) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Means and pairs with all digits, for programs."""
    about = {"data": group.title, "reward_name": group.reward}
    means = [
        {
            **about,
            "method": one.label,
            "policy": one.run.policy,
            "run": one.run.path.name,
            "answered": len(one.run.queries),
            **_columns("reward", one.reward),
            **_columns("gain", one.gain),
            **{name: getattr(one, name).value for name in ("characters", "calls", "tokens", "seconds")},
        }
        for one in comparison.means
    ]
    pairs = [
        {
            **about,
            "method": pair.label,
            "against": pair.against,
            **_columns("difference", pair.difference),
            **_columns("wins", pair.wins),
            "p_holm": pair.p,
            "tokens_ratio": pair.tokens,
            "seconds_ratio": pair.seconds,
        }
        for pair in comparison.pairs
    ]
    return means, pairs


def _columns(name: str, number: Estimate) -> dict[str, float | None]:
    return {name: number.value, f"{name}_low": number.low, f"{name}_high": number.high, f"{name}_queries": number.n}
