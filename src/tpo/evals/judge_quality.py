"""How far to trust a judge or a reward: compared with what people preferred.

A judge compares every pair in both orders; its verdict combines the two. A reward sees one answer at a
time, so that order cannot matter. Preferring the longer answer is measured beside both: on most published sets it
agrees with people more often than not, and a scorer that does no better has learned nothing else.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import msgspec

from tpo.checks.pairs import agrees, length_gap, score_gaps, verdict
from tpo.checks.preferences import Pair
from tpo.evals.benchmarks.protocol import JudgeModel
from tpo.rewards.judges.pairwise import VERDICT_TOKENS, game_of
from tpo.rewards.judges.wording import Wording
from tpo.rewards.protocol import Reward
from tpo.scheduling.concurrency import together
from tpo.stats import Estimate, difference_of, share_of


class Opinion(NamedTuple):
    """The preference of a judge or reward on one pair.

    Attributes:
        first: 1 where the first answer is preferred, 0 the second, one half for a tie; None without a verdict.
        swapped: the same with the second answer shown first; None without a verdict, or where order has no meaning.
        ordered: whether the order could matter.
        weighed: how far the first is preferred, a mean of both orders by the probabilities of the judge's words, which
            is what steers a search; None without any, or for a reward.
    """

    first: float | None
    swapped: float | None
    ordered: bool
    weighed: float | None = None

    @property
    def both(self) -> float:
        """Both orders combined: 1, 0, or one half where they contradict each other or have no verdict."""
        decided = [one for one in (self.first, self.swapped) if one is not None]
        return verdict(sum(decided) / len(decided) - 0.5) if decided else 0.5


class Quality(msgspec.Struct, frozen=True):
    """A judge or reward on one set of preferences; numbers are percent.

    Attributes:
        pairs: pairs with a preference.
        ties: pairs that people called a tie.
        agreement: share of preferences that it shares; no verdict, or one that turns with the order, counts half.
        length: the same for preferring the longer answer.
        above_length: how far the first is above the second, paired.
        weighed: the agreement by the probabilities of both orders, which can hold a preference where the words of both
            name the same place; None for a reward.
        weighed_above_length: the same for that.
        alike_pairs: pairs whose lengths are within 20 %.
        alike: agreement on these, where length helps little.
        on_ties: share of the ties that it calls a tie as well, in so many words or by contradicting itself.
        flips: share of pairs on which the verdict changed with the order; None for a reward.
        first_place: share of verdicts that went to the answer shown first, a tie counting half; 50 is fair.
        longer_against_people: how often it prefers the longer answer where people prefer the shorter.
        shorter_against_people: how often it prefers the shorter answer where people prefer the longer. The first being
            larger than this is a liking for length.
        unread: verdicts that could not be read, or scores that are missing.
    """

    pairs: int
    ties: int
    agreement: Estimate | None
    length: Estimate | None
    above_length: Estimate | None
    weighed: Estimate | None
    weighed_above_length: Estimate | None
    alike_pairs: int
    alike: Estimate | None
    on_ties: Estimate | None
    flips: Estimate | None
    first_place: Estimate | None
    longer_against_people: Estimate | None
    shorter_against_people: Estimate | None
    unread: int


async def judged(
    judge: JudgeModel, pairs: Sequence[Pair], wording: Wording, tokens: int = VERDICT_TOKENS
) -> list[Opinion]:
    """Judge all pairs in both orders, with the prompt of a pairwise judge that steers.

    Args:
        judge: the judge.
        pairs: what about.
        wording: the pairwise question.
        tokens: most tokens of a reply, thinking included.

    Raises:
        RewardError: it refuses, or cannot be reached.
    """

    async def one(pair: Pair) -> Opinion:
        orders = ((pair.first, pair.second), (pair.second, pair.first))
        replies = [
            judge.ask(wording.messages(pair.query, answer_a=a, answer_b=b), tokens, logprobs=True) for a, b in orders
        ]
        games = [game_of(reply).won for reply in await together(replies)]
        first, swapped = (None if won is None else verdict(won - 0.5) for won in games)
        shares = [won for won in (games[0], None if games[1] is None else 1.0 - games[1]) if won is not None]
        weighed = sum(shares) / len(shares) if shares else None
        return Opinion(first, None if swapped is None else 1.0 - swapped, True, weighed)

    return await together([one(pair) for pair in pairs])


async def scored(reward: Reward, pairs: Sequence[Pair]) -> list[Opinion]:
    """Score all pairs.

    Raises:
        RewardError: the reward failed.
    """
    gaps = await score_gaps(reward, pairs)
    return [Opinion(verdict(gap) if gap == gap else None, None, False) for gap in gaps]


def quality(pairs: Sequence[Pair], opinions: Sequence[Opinion]) -> Quality:
    """Hold opinions against people.

    Args:
        pairs: with the preference of people, ties included.
        opinions: one for each.
    """
    decided = [(pair, one) for pair, one in zip(pairs, opinions, strict=True) if not pair.tied]
    ties = [one for pair, one in zip(pairs, opinions, strict=True) if pair.tied]
    ours = [agrees(one.both, pair) for pair, one in decided]
    length = [agrees(verdict(length_gap(pair)), pair) for pair, _ in decided]
    ordered = [one for one in opinions if one.ordered]
    weighed = (
        [agrees(verdict(0.0 if one.weighed is None else one.weighed - 0.5), pair) for pair, one in decided]
        if ordered
        else []
    )
    alike = [hit for hit, (pair, _) in zip(ours, decided, strict=True) if pair.alike_in_length]
    for_shorter = [1.0 - hit for hit, longer in zip(ours, length, strict=True) if longer == 0.0]
    for_longer = [1.0 - hit for hit, longer in zip(ours, length, strict=True) if longer == 1.0]
    return Quality(
        pairs=len(decided),
        ties=len(ties),
        agreement=_share(ours),
        length=_share(length),
        above_length=difference_of(ours, length, 100) if ours else None,
        weighed=_share(weighed),
        weighed_above_length=difference_of(weighed, length, 100) if weighed else None,
        alike_pairs=len(alike),
        alike=_share(alike),
        on_ties=_share(float(one.both == 0.5 and one.first is not None) for one in ties),
        flips=_share(
            float(one.first != one.swapped) for one in ordered if one.first is not None and one.swapped is not None
        ),
        first_place=_share(place for one in ordered for place in _for_first_place(one)),
        longer_against_people=_share(for_shorter),
        shorter_against_people=_share(for_longer),
        unread=sum((one.first is None) + (one.ordered and one.swapped is None) for one in opinions),
    )


def _for_first_place(one: Opinion) -> list[float]:
    """1 for each verdict that went to the answer shown first."""
    swapped = None if one.swapped is None else 1.0 - one.swapped
    return [won for won in (one.first, swapped) if won is not None]


def _share(values: Iterable[float]) -> Estimate | None:
    counted = list(values)
    return share_of(counted, 100) if counted else None
