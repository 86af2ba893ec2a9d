"""The driver: feeds a method's actions to real backends, and the results back into the method.

Resume is replay. Before an action is carried out the journal is asked for its results; what is there is sent into the
generator as it is, and only what is missing is called for.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime
from functools import cache, partial
from importlib.metadata import version
from typing import Any

from tpo.candidate import Candidate
from tpo.engine.calls import Calls, Clock, Conduct, Ledger, Place, together
from tpo.engine.events import Listener, TextGrew
from tpo.engine.journal import Journal
from tpo.engine.limits import Budget, Stopped, Stopper
from tpo.engine.past import Past
from tpo.engine.records import Ended, Plan, Prompted, Record, Replied, Resumed, Sampled, Started
from tpo.engine.result import Result, candidate_of, result_of
from tpo.engine.sampling import Sampling, landed
from tpo.engine.scoring import Scorer
from tpo.errors import JournalError, ModelError, RewardError, TPOError
from tpo.methods import Action, Ask, Outcome, Pool, Sample, Search
from tpo.models.protocol import Choice, Model
from tpo.prompts.prompt import Role
from tpo.rewards.protocol import Reward

# Seconds for scoring what had landed when a run was stopped before any answer had a reward.
GRACE = 10.0


class Driver:
    """Runs one search.

    Args:
        plan: what is being run.
        models: the model of each role.
        reward: what scores the answers; None where the method needs none.
        journal: where everything is written down, and what was done already by a run with the same plan.
        budget: what the run may cost.
        stopper: ends the run from outside.
        listen: told of everything that happens.
        conduct: how calls are made.
    """

    def __init__(
        self,
        plan: Plan,
        models: dict[Role, Model],
        reward: Reward | None,
        journal: Journal,
        budget: Budget | None = None,
        stopper: Stopper | None = None,
        listen: Listener = lambda event: None,
        conduct: Conduct | None = None,
    ) -> None:
        self._plan = plan
        self._budget = budget or Budget()
        self._stopper = stopper or Stopper()
        self._journal = journal
        self._listen = listen
        self._past = Past(journal.records)
        self._clock = Clock(self._past.seconds)
        self._ledger = Ledger(self._watch_budget)
        conduct = conduct or Conduct()
        self._calls = Calls(models, plan.settings, self._ledger, self._clock, self._write, listen, conduct)
        self._scorer = Scorer(reward, plan.query, self._clock, self._write, self._ledger.add, conduct.patience)
        self._ranks = reward is not None
        self._seen = Pool()
        self._drawing: list[tuple[Place, int]] = []

    async def run(self, search: Search) -> Result:
        """Drive a search to its end, or to the end of a budget, or until it is stopped.

        Args:
            search: the plan's method, started with the plan's query, width and depth.

        Returns:
            the best answer and how it came about.

        Raises:
            TPOError: the run cannot go on; its `partial` is the result so far, if there is an answer.
        """
        if self._past.plan is None:
            self._write(Started(self._plan, _version(), _now()))
        else:
            self._write(Resumed(self._seconds(), _now()))
        for sampled, scored in self._past.scores():
            self._scorer.remember(sampled, scored)
        self._ledger.add(self._past.tokens)
        try:
            return await self._to_an_end(search)
        except TPOError as error:
            self._recall()
            chosen = self._seen.chosen.id if self._seen.candidates else None
            with suppress(JournalError):  # where the journal itself is what failed
                self._write(Ended("error", chosen, self._seconds(), str(error)))
                await self._journal.commit()
            if self._seen.candidates:
                error.partial = result_of(self._journal.records)
            raise
        finally:
            search.close()

    async def _to_an_end(self, search: Search) -> Result:
        deadline = None
        if self._budget.seconds is not None:
            left = max(self._budget.seconds - self._clock(), 0.0)
            deadline = asyncio.get_running_loop().call_later(left, self._stopper.stop, "deadline")
        try:
            outcome = await self._search(search)
            chosen, stop = outcome.chosen, str(outcome.stop)
        except Stopped:
            await self._salvage()
            stop = self._stopper.reason or "interrupt"
            if not self._seen.candidates:
                raise ModelError(
                    f"The run was stopped ({stop}) before the first word of an answer: {self._ledger.tokens} tokens "
                    f"and {self._clock():.1f} seconds were spent. Give it a larger budget."
                ) from None
            chosen = self._seen.chosen
        finally:
            if deadline is not None:
                deadline.cancel()
        if self._ranks and chosen.text and chosen.reward is None:
            raise RewardError(f"Not one answer got a reward. The first: {chosen.error}.")
        self._write(Ended(stop, chosen.id, self._seconds()))
        await self._journal.commit()
        return result_of(self._journal.records)

    async def _search(self, search: Search) -> Outcome:
        turn = step = 0
        try:
            wish = next(search)
            while True:
                actions = wish if isinstance(wish, list) else [wish]
                results = await self._stopper.guard(partial(self._perform_all, actions, turn, step))
                turn += 1
                step += any(isinstance(action, Sample) for action in actions)
                wish = search.send(results if isinstance(wish, list) else results[0])
        except StopIteration as end:
            outcome: Outcome = end.value
            return outcome

    async def _perform_all(self, actions: list[Action], turn: int, step: int) -> list[Any]:
        results = await together([self._perform(action, turn, number, step) for number, action in enumerate(actions)])
        # Nothing is built on a result that a power cut could still take away.
        await self._journal.commit()
        return results

    async def _perform(self, action: Action, turn: int, number: int, step: int) -> list[Candidate] | str:
        prompt = action.prompt
        place = Place(prompt, turn, number)
        if (turn, number) not in self._past.prompted:
            width = action.width if isinstance(action, Sample) else None
            shown = (prompt.name, prompt.role, prompt.messages, prompt.chosen, prompt.rejected)
            self._write(Prompted(turn, number, step, *shown, width))
        if isinstance(action, Ask):
            return await self._ask(place, step)
        self._drawing.append((place, step))
        sampling = Sampling(place, step, self._past, self._calls, self._scorer, self._write, self._see)
        return await sampling.draw(action.width, self._grown(place), self._plan.settings.quorum)

    async def _ask(self, place: Place, step: int) -> str:
        known = self._past.replied.get((place.turn, place.action))
        if known is not None:
            return known.text
        choice = await self._calls.ask(place, self._grown(place))
        text = place.prompt.read(choice.text)
        reply = choice.text if choice.text != text else None
        where = (place.turn, place.action, step, place.prompt.name)
        self._write(Replied(*where, text, reply, choice.reasoning or None))
        return text

    def _see(self, candidate: Candidate) -> None:
        self._seen.add([candidate])

    def _grown(self, place: Place) -> Callable[[int, str], None]:
        return lambda index, text: self._listen(TextGrew(place.turn, place.action, place.prompt.name, index, text))

    def _recall(self) -> None:
        # A resumed run may end before it has come back to the answers that an earlier process drew.
        self._seen.add(candidate_of(*pair) for pair in self._past.scores())

    async def _salvage(self) -> None:
        """Make the best of a run that was stopped before any answer had a reward: what was paid for is used."""
        self._recall()
        if any(candidate.reward is not None for candidate in self._seen.candidates):
            return
        waiting = Past(self._journal.records).unscored()
        if (self._ranks and not waiting) or (not self._ranks and not self._seen.candidates):
            waiting = self._cut_off()
        with suppress(TimeoutError):
            async with asyncio.timeout(GRACE):
                await together([self._score(sampled) for sampled in waiting])
                if self._scorer.ranks_pools and waiting:
                    ranked = await self._scorer.rank(waiting[0].turn, waiting[0].action)
                    self._seen.add(candidate_of(*pair) for pair in ranked)

    def _cut_off(self) -> list[Sampled]:
        cut = []
        for place, step in self._drawing:
            for index, text in self._calls.unfinished(place).items():
                choice = Choice(index, text, finish_reason=self._stopper.reason or "interrupt")
                sampled = landed(place, step, choice)
                if sampled.text.strip():
                    self._write(sampled)
                    cut.append(sampled)
        return cut

    async def _score(self, sampled: Sampled) -> None:
        self._see(candidate_of(sampled, await self._scorer.score(sampled)))

    def _seconds(self) -> float:
        return round(self._clock(), 4)

    def _write(self, record: Record) -> None:
        self._journal.append(record)
        self._listen(record)

    def _watch_budget(self) -> None:
        if self._budget.tokens is not None and self._ledger.tokens >= self._budget.tokens:
            self._stopper.stop("budget")


@cache
def _version() -> str:
    return version("tpo")


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
