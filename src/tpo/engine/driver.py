"""The driver: feeds a method's actions to real backends, and the results back into the method.

Resume is replay. Before an action is carried out, its results are looked up in the journal; what is there is
sent into the generator as it is, and calls are made only for what is missing.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from functools import cache, partial
from importlib.metadata import version
from typing import Any, TypeAlias

from tpo.candidate import Candidate
from tpo.engine.calls import Calls, Conduct, Place
from tpo.engine.events import Event, Listener, Retrying, TextGrew
from tpo.engine.held_out import hold_out
from tpo.engine.journal import Journal
from tpo.engine.limits import Budget, Clock, Ledger, Stopped, Stopper
from tpo.engine.records import (
    Ended,
    Paused,
    Plan,
    Prompted,
    Record,
    Replied,
    Resumed,
    Sampled,
    Started,
)
from tpo.engine.result import Result, result_from
from tpo.engine.sampling import Sampling, landed
from tpo.engine.scoring import Scorer
from tpo.engine.state import SearchState
from tpo.errors import JournalError, ModelError, RewardError, TPOError
from tpo.http.failures import ContextOverflow
from tpo.methods import Action, Ask, BudgetSpent, Outcome, Reply, Sample, ScoreTexts, Search
from tpo.methods.lifts import Lifts
from tpo.models.protocol import Choice, Model
from tpo.prompts.prompt import Prompt, Role
from tpo.rewards.protocol import Reward
from tpo.scheduling.concurrency import together

# Seconds for scoring what had landed when a run was stopped before any answer had a reward.
GRACE = 10.0

# Decides, by a turn and the journal's records, whether a search may draw more answers.
Permission: TypeAlias = Callable[[int, Sequence[Record]], Coroutine[Any, Any, bool]]


class Driver:
    """Runs one search.

    Args:
        plan: what is being run.
        models: the model of each role.
        reward: what scores the answers; None where the method needs none.
        journal: where everything is written down, and what was done already by a run with the same plan.
        budget: what the run may cost.
        stopper: ends the run from outside.
        listen: called with each event.
        conduct: how calls are made.
        judge: scores the first sample and the answer when the search is over, and decides nothing.
        may_go_on: called after each turn that drew answers, where the search would draw more; None always goes on.
        lifts: what the search was started with, for the journal; see `Started`.
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
        judge: Reward | None = None,
        may_go_on: Permission | None = None,
        lifts: Lifts | None = None,
    ) -> None:
        self._plan = plan
        self._budget = budget or Budget()
        self._stopper = stopper or Stopper()
        self._journal = journal
        self._listen = listen
        self._state = SearchState(journal.records)
        self._clock = Clock(self._state.seconds)
        self._ledger = Ledger(self._watch_budget)
        conduct = conduct or Conduct()
        self._calls = Calls(
            models, plan.query, plan.settings, self._ledger, self._clock, self._write, self._forward, conduct
        )
        self._scorer = Scorer(
            reward, plan.query, self._state, self._clock, self._write, self._ledger.add, conduct.patience
        )
        self._ranks = reward is not None
        self._judge = judge
        self._may_go_on = may_go_on
        self._lifts = dict(lifts or {})
        self._drawing: list[tuple[Place, int]] = []
        # Of the turn's actions that drew no answer, the first error.
        self._failures: dict[int, ModelError] = {}
        # The last failure of a call that is being retried.
        self._trouble: str | None = None
        # Whether a prompt of the search did not fit a model's context.
        self._overflowed = False

    async def run(self, search: Search) -> Result:
        """Drive a search to its end, or to the end of a budget, or until it is stopped.

        Args:
            search: the plan's method, started with the plan's query, width and depth.

        Returns:
            the best answer and how it came about.

        Raises:
            TPOError: the run cannot go on; its `partial` is the result so far, if there is an answer.
        """
        if self._state.plan is None:
            self._write(Started(self._plan, _version(), _now(), self._lifts))
        else:
            self._write(Resumed(self._seconds(), _now()))
        for sampled, scored in self._state.scored:
            self._scorer.remember(sampled, scored)
        self._ledger.add(self._state.tokens)
        try:
            return await self._to_an_end(search)
        except TPOError as error:
            best = self._state.best
            with suppress(JournalError):  # where the journal itself is what failed
                chosen = best.id if best is not None and best.text.strip() else None
                self._write(Ended("error", chosen, self._seconds(), str(error)))
                await self._journal.commit()
            if best is not None:
                error.partial = result_from(self._state, self._journal.records)
            raise
        finally:
            search.close()

    async def _to_an_end(self, search: Search) -> Result:
        deadline = None
        if self._budget.seconds is not None:
            left = max(self._budget.seconds - self._clock(), 0.0)
            deadline = asyncio.get_running_loop().call_later(left, self._stopper.stop, "deadline")
        unscored = False
        try:
            try:
                outcome = await self._search(search)
                chosen, stop = outcome.chosen, "context" if self._overflowed else str(outcome.stop)
            except Stopped:
                await self._salvage()
                stop = self._stopper.reason or "interrupt"
                best = self._state.best
                if best is None or not best.text:
                    best = next((one for one in self._state.candidates if one.text), None)
                    unscored = True
                if best is None:
                    raise self._stopped_empty(stop) from None
                chosen = best
            if self._ranks and chosen.reward is None and not unscored:
                raise RewardError(f"Not one answer got a reward. The first: {chosen.error}.")
            if self._judge is not None and stop not in ("deadline", "interrupt"):
                await self._hold_out(self._judge, chosen)
        finally:
            if deadline is not None:
                deadline.cancel()
        self._write(Ended(stop, chosen.id, self._seconds()))
        await self._journal.commit()
        return result_from(self._state, self._journal.records)

    async def _hold_out(self, judge: Reward, chosen: Candidate) -> None:
        known = self._state.judged
        if known is None or known.chosen != chosen.id:
            first, turn = self._state.candidates[0], max((one for one, _ in self._state.prompted), default=0)
            judging = partial(hold_out, judge, self._plan.query, first, chosen, self._clock, self._write, turn)
            with suppress(Stopped):  # the answer is there, and does not wait for a judge that is slow
                # A judge uses nothing of the budget of tokens.
                await self._stopper.guard(judging, despite="budget")

    def _stopped_empty(self, stop: str) -> ModelError:
        spent = f"{self._ledger.tokens} tokens and {self._clock():.1f} seconds were spent"
        if self._trouble is not None:
            return ModelError(f"The run was stopped ({stop}) while calls failed: {self._trouble} {spent.capitalize()}.")
        return ModelError(
            f"The run was stopped ({stop}) before the first word of an answer: {spent}. Give it a larger budget."
        )

    async def _search(self, search: Search) -> Outcome:
        turn = step = 0
        try:
            wish = next(search)
            while True:
                actions = _listed(wish)
                try:
                    results = await self._stopper.guard(partial(self._perform_all, actions, turn, step))
                except ContextOverflow:
                    best = self._state.best
                    if best is None or not best.text:
                        raise
                    # Prompts that show answers are longer than the query, and the answers are worth having without.
                    self._overflowed = True
                    turn += 1
                    wish = search.throw(BudgetSpent())
                    continue
                if self._stopper.reason == "budget":  # else a search that is killed and continued would end otherwise
                    raise Stopped
                drew = any(isinstance(action, Sample) for action in actions)
                wish = search.send(results if isinstance(wish, list) else results[0])
                may_go_on = None if _is_closing(wish) else self._may_go_on  # a choice among the answers needs no leave
                if drew and may_go_on is not None and not await self._permitted(may_go_on, turn):
                    wish = search.throw(BudgetSpent())
                turn += 1
                step += drew
        except BudgetSpent:
            self._expect_an_answer()
            best = self._state.best
            assert best is not None  # a turn drew answers, and one of them can be used
            return Outcome(best, "budget")
        except StopIteration as end:
            self._expect_an_answer()
            outcome: Outcome = end.value
            return outcome

    async def _permitted(self, may_go_on: Permission, turn: int) -> bool:
        if turn not in self._state.paused:
            self._write(Paused(turn))
            await self._journal.commit()
        began = self._clock()
        try:
            return await self._stopper.guard(partial(may_go_on, turn, self._journal.records))
        finally:
            # The search waits for others here, and takes no time itself.
            self._clock.skip(self._clock() - began)

    async def _perform_all(self, actions: list[Action], turn: int, step: int) -> list[Any]:
        if not all(isinstance(action, Sample) and _draws_anew(action.prompt) for action in actions):
            self._expect_an_answer()
        self._failures.clear()
        alone = len(actions) == 1
        results = await together(
            [self._perform(action, turn, number, step, alone) for number, action in enumerate(actions)]
        )
        drawn = [number for number, action in enumerate(actions) if isinstance(action, Sample)]
        if drawn and len(self._failures) == len(drawn):
            raise self._failures[drawn[0]]
        if drawn and self._scorer.ranks_pools:
            await self._rank(results, drawn, turn)
        # Nothing is built on a result that a power cut could still take away.
        await self._journal.commit()
        return results

    def _expect_an_answer(self) -> None:
        """See that the answers so far are not all empty: an empty answer is none, and shows a critic nothing."""
        candidates = self._state.candidates
        if candidates and not any(candidate.text for candidate in candidates):
            raise ModelError(f"No answer can be used ({len(candidates)} were drawn): {candidates[0].error}.")

    async def _rank(self, results: list[Any], drawn: list[int], turn: int) -> None:
        """Score all answers against each other, once those of a turn are all there, and put the rewards in place.

        Older answers whose reward has changed come after those of the last `Sample`; the pool knows them by their ids.
        """
        await self._scorer.rank(turn, drawn[-1])
        before, now = self._state.candidates_at(turn - 1), self._state.candidates_at(turn)
        for number in drawn:
            results[number] = [now[candidate.id] for candidate in results[number]]
        results[drawn[-1]] += [now[id] for id, candidate in before.items() if now[id] != candidate]

    async def _perform(self, action: Action, turn: int, number: int, step: int, alone: bool) -> list[Candidate] | Reply:
        if isinstance(action, ScoreTexts):
            return await self._rate(action, turn, number, step)
        prompt = action.prompt
        sample = action if isinstance(action, Sample) else None
        before = None if alone and _is_single_merge(action) else self._before(turn, number)
        place = Place(prompt, turn, number, sample, before=before)
        if (turn, number) not in self._state.prompted:
            shown = (prompt.name, prompt.role, prompt.messages, prompt.chosen, prompt.rejected)
            drawn = (sample.width, sample.sampling) if sample is not None else (None, None)
            self._write(Prompted(turn, number, step, *shown, *drawn))
        if isinstance(action, Ask):
            return await self._ask(place, step)
        self._drawing.append((place, step))
        extra = self._plan.settings.extra
        sampling = Sampling(place, step, self._state, self._calls, self._scorer, self._write, extra)
        quorum = self._plan.settings.quorum
        candidates = await sampling.draw(action.width, self._grown(place), quorum, alone=alone)
        if sampling.failure is not None:
            self._failures[number] = sampling.failure
        return candidates

    async def _rate(self, action: ScoreTexts, turn: int, number: int, step: int) -> list[Candidate]:
        known = [self._state.rated.get((turn, number, index)) for index in range(len(action.texts))]
        rated = [one for one in known if one is not None]
        if len(rated) < len(action.texts):
            rated = await self._scorer.rate(action.texts, turn, number)
        return [Candidate("", step, one.text, one.reward, one.parts, one.feedback, error=one.error) for one in rated]

    async def _ask(self, place: Place, step: int) -> Reply:
        known = self._state.replied.get((place.turn, place.action))
        if known is not None:
            return Reply(known.text, known.tokens)
        choice = await self._calls.ask(place, self._grown(place))
        text = place.prompt.read(choice.text)
        reply = choice.text if choice.text != text else None
        where = (place.turn, place.action, step, place.prompt.name)
        self._write(Replied(*where, text, reply, choice.reasoning or None, choice.tokens))
        return Reply(text, choice.tokens)

    def _before(self, turn: int, number: int) -> int:
        """How many answers the actions before this one draw."""
        return sum(one.width or 0 for at, one in self._state.prompted.items() if at < (turn, number))

    def _grown(self, place: Place) -> Callable[[int, str], None]:
        return lambda index, text: self._listen(TextGrew(place.turn, place.action, place.prompt.name, index, text))

    async def _salvage(self) -> None:
        """Make the best of a run that was stopped before any answer had a reward: what was paid for is used."""
        if any(candidate.reward is not None for candidate in self._state.candidates):
            return
        waiting = self._state.unscored
        if not waiting and (self._ranks or self._state.best is None):
            waiting = self._cut_off()
        with suppress(TimeoutError):
            async with asyncio.timeout(GRACE):
                await together([self._scorer.score(sampled) for sampled in waiting])
                if self._scorer.ranks_pools and waiting:
                    await self._scorer.rank(waiting[0].turn, waiting[0].action)

    def _cut_off(self) -> list[Sampled]:
        cut = []
        for place, step in self._drawing:
            for index, text in self._calls.unfinished(place).items():
                choice = Choice(index, text, finish_reason=self._stopper.reason or "interrupt")
                sampled = landed(place, step, choice, self._plan.settings.extra)
                if sampled.text.strip():
                    self._write(sampled)
                    cut.append(sampled)
        return cut

    def _seconds(self) -> float:
        return round(self._clock(), 4)

    def _write(self, record: Record) -> None:
        self._journal.append(record)
        self._state.apply(record)
        self._listen(record)

    def _forward(self, event: Event) -> None:
        if isinstance(event, Retrying):
            self._trouble = event.error
        self._listen(event)

    def _watch_budget(self) -> None:
        if self._budget.tokens is not None and self._ledger.tokens >= self._budget.tokens:
            self._stopper.stop("budget")


def _listed(wish: Action | list[Action]) -> list[Action]:
    return wish if isinstance(wish, list) else [wish]


def _is_closing(wish: Action | list[Action]) -> bool:
    return any(isinstance(action, Ask) and action.closing for action in _listed(wish))


def _is_single_merge(action: Action) -> bool:
    """Whether an action makes one answer of several; a rewrite shows one of them as the chosen."""
    if not isinstance(action, Sample):
        return False
    return action.width == 1 and action.prompt.role == "editor" and action.prompt.chosen is None


def _draws_anew(prompt: Prompt) -> bool:
    """Whether a prompt works without any answer: nothing is edited, and no answer is shown."""
    return prompt.role == "policy" and prompt.chosen is None


@cache
def _version() -> str:
    return version("tpo")


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
