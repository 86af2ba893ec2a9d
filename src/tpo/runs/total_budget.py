"""One budget of tokens for all queries of a run, spent where the next answers are worth most.

Every query gets its first wave. Then the run goes in rounds: when all searches wait, the tokens that are left go to the
queries whose next answer is expected to gain most per token, and each of these gets one more wave (a bandit across
queries, arXiv 2506.12721, with the expected gain of the stop rule). A round plans at most half of what is left, so that
the next one can use what this one showed.

A round depends on nothing but the journals of the queries: not on time, nor on which search ends first. So a run that
is continued comes to the same decisions, and need not write them down.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Mapping, Sequence
from heapq import heapify, heappop, heappush
from statistics import fmean, variance
from typing import NamedTuple

from tpo.engine.records import Paused, Record
from tpo.engine.state import SearchState
from tpo.methods.stopping import LEAST_WITHOUT_MAXIMUM, usual_prior

# How much of what is left a round plans to spend.
SHARE = 0.5


class QueryAccount(NamedTuple):
    """What a search has drawn so far.

    Attributes:
        rewards: the rewards of its answers.
        tokens: completion tokens of its answers and critiques.
        answers: how many answers there are, those without a reward included.
        waves: how many waves they came in.
    """

    rewards: tuple[float, ...]
    tokens: int
    answers: int
    waves: int

    def worth(self, maximum: float | None, variance: float = 0.0) -> float:
        """By how much the next answer is expected to exceed the best, per token; infinite before that can be known.

        Args:
            maximum: the largest reward that there is, where it is known.
            variance: of rewards in other queries. It counts where no maximum is known and all rewards are equal.
        """
        if not self.rewards or (maximum is None and len(self.rewards) < LEAST_WITHOUT_MAXIMUM):
            return math.inf
        prior = usual_prior(self.rewards, maximum)
        if not prior.variance:
            prior = prior._replace(variance=variance)
        belief = prior.after(self.rewards)
        beyond = belief.gain_over(maximum) if maximum is not None else 0.0
        gain = belief.gain_over(max(self.rewards)) - beyond
        return max(gain, 0.0) * self.answers / max(self.tokens, 1)

    @property
    def price(self) -> float:
        """The tokens that the next wave is expected to take."""
        return max(self.tokens, 1) / self.waves


def accounts_of(records: Sequence[Record]) -> dict[int, QueryAccount]:
    """A search's account at each of its pauses, by turn.

    Args:
        records: the query's journal. Only what came before a pause counts for it.
    """
    state, accounts = SearchState(), dict[int, QueryAccount]()
    for record in records:
        state.apply(record)
        if isinstance(record, Paused) and record.turn not in accounts:
            candidates = state.candidates
            rewards = tuple(one.reward for one in candidates if one.reward is not None and one.leaked is None)
            accounts[record.turn] = QueryAccount(rewards, _tokens(state), len(candidates), len(accounts) + 1)
    return accounts


def tokens_of(records: Sequence[Record]) -> int:
    """Completion tokens of a search's answers and critiques."""
    return _tokens(SearchState(records))


def _tokens(state: SearchState) -> int:
    # Not those of the calls: a call that was cut short and made again would count twice, and change the decisions.
    return sum(one.tokens for one in state.candidates) + sum(one.tokens for one in state.replied.values())


def next_round(waiting: Mapping[int, QueryAccount], left: float, maximum: float | None = None) -> list[int]:
    """The queries that get another wave, the one with the most to gain per token first, the earlier of equals first.

    The round plans wave by wave, always the one that is worth most. Later waves of a query are worth less than its next
    one: of n + k answers the last is the best with a chance of 1 / (n + k). So a query with much to gain is planned
    several times before one with little, and what is planned for later stays for the next rounds.

    Args:
        waiting: the accounts of the queries whose searches would go on, by row.
        left: the tokens that are left.
        maximum: the largest reward that there is, where it is known.
    """
    spreads = [variance(one.rewards) for one in waiting.values() if len(one.rewards) > 1]
    usual = fmean(spreads) if spreads else 0.0
    plan = [(-worth, row, 0) for row, one in waiting.items() if (worth := one.worth(maximum, usual)) > 0]
    heapify(plan)
    chosen: dict[int, None] = {}
    planned = 0.0
    while plan and planned < SHARE * left and len(chosen) < len(waiting):
        worth, row, waves = heappop(plan)
        account = waiting[row]
        if planned + account.price > left:
            continue
        planned += account.price
        chosen[row] = None
        if math.isfinite(worth):
            more = account.answers / account.waves
            before, after = (account.answers + 1 + count * more for count in (waves, waves + 1))
            heappush(plan, (worth * before / after, row, waves + 1))
    return list(chosen)


class TotalBudget:
    """Lets the searches of a run go on by rounds.

    Args:
        tokens: the budget, in completion tokens of answers and critiques.
        queries: how many queries there are.
        maximum: the largest reward that there is, where it is known.

    Attributes:
        denied: how many searches would have drawn more.
    """

    def __init__(self, tokens: int, queries: int, maximum: float | None) -> None:
        self._tokens = tokens
        self._maximum = maximum
        # Queries that neither wait nor are over; before they begin, too.
        self._drawing = queries
        self._spent: dict[int, int] = {}
        self._waiting: dict[int, tuple[QueryAccount, asyncio.Future[bool]]] = {}
        self._rounds = 0
        self.denied = 0

    @property
    def spent(self) -> int:
        """The tokens that were spent."""
        return sum(self._spent.values())

    @property
    def report(self) -> str:
        """One line about how the run came out of it."""
        line = f"{self.spent} of {self._tokens} completion tokens of the total budget were spent"
        if not self._rounds:
            return f"{line}, all in first waves: nothing was left to decide. See the method's settings for waves."
        if not self.denied:
            return f"{line}; every search came to its own end."
        return f"{line}; {self.denied} searches would have drawn more."

    async def may_go_on(self, row: int, account: QueryAccount) -> bool:
        """Wait until every other search waits or is over; then, whether this one gets another wave.

        Args:
            row: the query's position in the data.
            account: what its search has drawn.
        """
        self._spent[row] = account.tokens
        decided: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        self._waiting[row] = (account, decided)
        self._drawing -= 1
        self._decide()
        return await decided

    def over(self, row: int, tokens: int) -> None:
        """A search is over, unless it was refused more and is counted already.

        Args:
            row: the query's position in the data.
            tokens: what it spent.
        """
        self._spent[row] = tokens
        self._drawing -= 1
        self._decide()

    def _decide(self) -> None:
        if self._drawing or not self._waiting:
            return
        self._rounds += 1
        left = self._tokens - self.spent
        chosen = next_round({row: account for row, (account, _) in self._waiting.items()}, left, self._maximum)
        # Where nobody gets more, all end, and draw nothing.
        self._drawing = len(chosen or self._waiting)
        for row in chosen or list(self._waiting):
            _, decided = self._waiting.pop(row)
            if not decided.done():
                decided.set_result(bool(chosen))
        if not chosen:
            self.denied = self._drawing
