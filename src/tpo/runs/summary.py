"""The summary of a run, computed from its answers alone."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import msgspec

from tpo.engine.records import JUDGE
from tpo.engine.result import ARM_HEADINGS, ArmUsage, RoleUsage, arm_row
from tpo.errors import InputError
from tpo.prompts.prompt import ROLES
from tpo.representations import curve, frame, table, text_block, unfolding
from tpo.runs.answers import Answer
from tpo.runs.guards import Guards, HeldOutSummary, Lengths
from tpo.stats import Estimate, Running

# Roles that may have a price of their own.
PRICED = (*ROLES, "reward", JUDGE)


class StepSummary(msgspec.Struct, frozen=True):
    """A step, over all queries that have rewards there.

    Attributes:
        step: 0 for the first samples.
        queries: how many queries.
        best: mean of the best reward so far.
        mean: mean reward of the step's own answers.
        wins: share of queries whose best so far beats the best of step 0, a tie counting half; None for step 0.
    """

    step: int
    queries: int
    best: Estimate
    mean: Estimate | None
    wins: Estimate | None


class Price(msgspec.Struct, frozen=True):
    """Dollars (or any other money) for a million tokens."""

    prompt: float
    completion: float
    cached: float | None = None

    def cost(self, usage: RoleUsage) -> float:
        """What tokens cost; cached ones cost as much as others unless their own price is known."""
        cached = self.prompt if self.cached is None else self.cached
        fresh = usage.prompt_tokens - usage.cached_tokens
        return (fresh * self.prompt + usage.cached_tokens * cached + usage.completion_tokens * self.completion) / 1e6


class RunSummary(msgspec.Struct, frozen=True):
    """A run in numbers.

    Attributes:
        total: queries in the data.
        done: queries with an answer.
        failed: queries that ended with an error.
        left: queries that are not over.
        bad_rows: rows of the data that hold no query.
        first: mean reward of the first samples: the policy without alignment.
        reward: mean reward of the answers.
        improved: share of queries whose answer has a higher reward than the first sample, a tie counting half.
        steps: reward by step.
        usage: what each role cost; its seconds are sums over queries.
        cached_share: prompt tokens that the servers had in their caches, as a share of all.
        calls: calls, failed ones included.
        retries: how many of these repeated a failed one.
        seconds: wall-clock time, over all processes of the run.
        query_seconds: what the queries took, one after another; they ran at the same time.
        time: how these divide: policy, critic, editor, reward and waiting, as shares.
        queries_per_second: throughput.
        tokens_per_second: throughput in completion tokens.
        cost: money, where prices are known.
        stops: how many searches ended why.
        errors: the commonest errors, with how often each came.
        lengths: how long answers are beside first samples.
        held_out: what the held-out judge found; None without one.
        warnings: what a user should know before trusting the reward.
        arms: what each arm of a panel cost, the answers that it wrote and how many of them were chosen.
    """

    total: int
    done: int
    failed: int
    left: int
    bad_rows: int
    first: Estimate | None
    reward: Estimate | None
    improved: Estimate | None
    steps: list[StepSummary]
    usage: dict[str, RoleUsage]
    cached_share: float | None
    calls: int
    retries: int
    seconds: float
    query_seconds: float
    time: dict[str, float]
    queries_per_second: float | None
    tokens_per_second: float | None
    cost: float | None
    stops: dict[str, int]
    errors: dict[str, int]
    lengths: Lengths | None = None
    held_out: HeldOutSummary | None = None
    warnings: list[str] = []
    arms: dict[str, ArmUsage] = {}

    def __repr__(self) -> str:
        parts = [f"{self.done} of {self.total} queries answered"]
        if self.failed:
            parts.append(f"{self.failed} failed")
        if self.first is not None and self.reward is not None:
            parts.append(f"mean reward {self.first.value:.3f} → {self.reward.value:.3f}")
        return f"RunSummary({', '.join(parts)})"

    def _repr_html_(self) -> str:
        """The summary in a notebook: its figures, the mean best reward by step, and what each role cost."""
        figures: list[tuple[str, object]] = [
            ("queries answered", f"{self.done} of {self.total}"),
            ("failed", self.failed),
        ]
        held_out = self.held_out
        for name, value in (
            ("mean first reward", self.first),
            ("mean reward", self.reward),
            ("improved", self.improved),
            ("held-out judge on first samples", None if held_out is None else held_out.first),
            ("held-out judge on answers", None if held_out is None else held_out.answer),
            ("gain by the held-out judge", None if held_out is None else held_out.gain),
        ):
            if value is not None:
                # One query has no interval.
                interval = "" if value.low is None or value.high is None else f" [{value.low:.3f}, {value.high:.3f}]"
                figures.append((name, f"{value.value:.3f}{interval}"))
        figures.append(("seconds", f"{self.seconds:.1f}"))
        if self.cost is not None:
            figures.append(("cost", f"{self.cost:.4f}"))
        usage = [(role, used.calls, used.prompt_tokens, used.completion_tokens) for role, used in self.usage.items()]
        return frame(
            table(("figure", "value"), figures),
            *(text_block(f"Warning: {warning}") for warning in self.warnings),
            curve([step.best.value for step in self.steps], "Mean best reward by step"),
            unfolding("Tokens by role", table(("role", "calls", "prompt", "completion"), usage)),
            unfolding("Models of the panel", table(ARM_HEADINGS, map(arm_row, self.arms.items()))) if self.arms else "",
            unfolding("Errors", table(("error", "times"), self.errors.items())) if self.errors else "",
        )


def parse_prices(prices: Iterable[str]) -> dict[str, Price]:
    """Prices as they are written: `ROLE=PROMPT/COMPLETION` or `ROLE=PROMPT/COMPLETION/CACHED`, for a million tokens.

    Raises:
        InputError: one is malformed.
    """
    found = {}
    for text in prices:
        role, _, numbers = text.partition("=")
        try:
            values = [float(number) for number in numbers.split("/")]
            if role not in PRICED or len(values) not in (2, 3) or min(values) < 0:
                raise ValueError
        except ValueError:
            raise InputError(
                f"The price {text!r} is not understood: write ROLE=PROMPT/COMPLETION for a million tokens, such as "
                f"policy=0.15/0.60, and a third number for cached ones."
            ) from None
        found[role] = Price(*values)
    return found


def summarize(
    answers: Iterable[Answer],
    total: int,
    bad_rows: int,
    seconds: float,
    prices: Mapping[str, Price] | None = None,
) -> RunSummary:
    """Sum up a run; the answers are read once and not kept.

    Args:
        answers: its answers so far.
        total: queries in the data.
        bad_rows: rows that hold none.
        seconds: wall-clock time of all its processes.
        prices: prices by role; a critic or editor without one costs what the policy does, reward and judge nothing.
    """
    count = Count()
    for answer in answers:
        count.take(answer)
    return summary_of(count, total, bad_rows, seconds, prices)


def summary_of(
    count: Count,
    total: int,
    bad_rows: int,
    seconds: float,
    prices: Mapping[str, Price] | None = None,
) -> RunSummary:
    """The same, where the answers were counted before."""
    usage = count.usage
    prompt = sum(role.prompt_tokens for role in usage.values())
    cached = sum(role.cached_tokens for role in usage.values())
    completion = sum(role.completion_tokens for role in usage.values())
    split = {role: used.seconds for role, used in usage.items()}
    split["waiting"] = sum(used.waited for used in usage.values())
    whole = sum(split.values())
    finished = count.done + count.failed
    return RunSummary(
        total=total,
        done=count.done,
        failed=count.failed,
        left=total - finished,
        bad_rows=bad_rows,
        first=_rounded(count.first.mean()),
        reward=_rounded(count.reward.mean()),
        improved=_rounded(count.improved.share()),
        steps=[step.summary(number) for number, step in sorted(count.steps.items()) if step.best.n],
        usage=usage,
        cached_share=round(cached / prompt, 4) if prompt else None,
        calls=sum(role.calls for role in usage.values()),
        retries=sum(role.retries for role in usage.values()),
        seconds=round(seconds, 1),
        query_seconds=round(count.seconds, 1),
        time={name: round(part / whole, 4) for name, part in split.items()} if whole else {},
        queries_per_second=round(finished / seconds, 4) if seconds else None,
        tokens_per_second=round(completion / seconds, 1) if seconds else None,
        cost=_cost(usage, prices) if prices else None,
        stops=dict(sorted(count.stops.items(), key=lambda item: -item[1])),
        errors=dict(sorted(count.errors.items(), key=lambda item: -item[1])[:10]),
        lengths=count.guards.lengths,
        held_out=count.guards.held_out,
        warnings=count.guards.warnings,
        arms=count.arms,
    )


def _cost(usage: Mapping[str, RoleUsage], prices: Mapping[str, Price]) -> float:
    default = {"critic": prices.get("policy"), "editor": prices.get("policy")}
    costs = [
        price.cost(used) for role, used in usage.items() if (price := prices.get(role) or default.get(role)) is not None
    ]
    return round(sum(costs), 6)


def _rounded(estimate: Estimate | None) -> Estimate | None:
    return None if estimate is None else estimate.rounded(6)


def _won(reward: float, other: float) -> float:
    """1 for a higher reward, 0 for a lower one; a tie is one half, in every column."""
    return 0.5 if reward == other else float(reward > other)


class _Step:
    def __init__(self) -> None:
        self.best, self.mean, self.wins = Running(), Running(), Running()

    def summary(self, number: int) -> StepSummary:
        best, wins = _rounded(self.best.mean()), _rounded(self.wins.share()) if number else None
        assert best is not None
        return StepSummary(number, self.best.n, best, _rounded(self.mean.mean()), wins)


class Count:
    """Answers, counted one by one and not kept.

    Attributes:
        done: those without an error.
        failed: those with one.
        guards: what the warnings are made of.
    """

    def __init__(self) -> None:
        self.done = self.failed = 0
        self.seconds = 0.0
        self.first, self.reward, self.improved = Running(), Running(), Running()
        self.steps: dict[int, _Step] = {}
        self.usage: dict[str, RoleUsage] = {}
        self.arms: dict[str, ArmUsage] = {}
        self.guards = Guards()
        self.stops: dict[str, int] = {}
        self.errors: dict[str, int] = {}

    def take(self, answer: Answer) -> None:
        """Count an answer."""
        self.seconds += answer.seconds
        for role, used in answer.usage.items():
            add_usage(self.usage.setdefault(role, RoleUsage()), used)
        for arm, spent in answer.arms.items():
            add_usage(self.arms.setdefault(arm, ArmUsage()), spent)
        if answer.stop is not None:
            self.stops[answer.stop] = self.stops.get(answer.stop, 0) + 1
        if answer.error is not None:
            self.failed += 1
            if answer.error in self.errors or len(self.errors) < 1000:
                self.errors[answer.error] = self.errors.get(answer.error, 0) + 1
            return  # a search that was cut short does not measure the method
        self.done += 1
        self.guards.take(answer)
        if answer.first is not None and answer.first.reward is not None and answer.reward is not None:
            self.first.add(answer.first.reward)
            self.reward.add(answer.reward)
            self.improved.add(_won(answer.reward, answer.first.reward))
        self._take_steps(answer)

    def _take_steps(self, answer: Answer) -> None:
        start = answer.steps[0].best if answer.steps else None
        if start is None:
            return
        for step in answer.steps:
            into = self.steps.setdefault(step.step, _Step())
            if step.best is not None:
                into.best.add(step.best)
                into.wins.add(_won(step.best, start))
            if step.mean is not None:
                into.mean.add(step.mean)


def add_usage(total: RoleUsage, used: RoleUsage) -> None:
    """Add what was used to a total."""
    for field in type(total).__struct_fields__:
        setattr(total, field, round(getattr(total, field) + getattr(used, field), 4))
