"""The result of a search, read off its state, so that a replayed trace gives the same object."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, TypeVar

import msgspec

from tpo.candidate import Candidate, best_reward
from tpo.engine.records import JUDGE, Called, Judged, Record
from tpo.engine.state import SearchState
from tpo.errors import JournalError
from tpo.methods import Pool
from tpo.representations import curve, frame, heading, rounded, shortened, table, text_block, unfolding

USERS = ("policy", "critic", "editor", "reward")


class HeldOut(msgspec.Struct, frozen=True):
    """The scores of a held-out judge, by which nothing was chosen.

    Attributes:
        judge: its name.
        first: the first sample's score: the policy without alignment; None where it has none.
        answer: the answer's score; likewise.
        error: why a score is missing.
    """

    judge: str
    first: float | None
    answer: float | None
    error: str | None = None


class Step(msgspec.Struct, frozen=True):
    """One step of a search.

    Attributes:
        step: 0 for the first samples, then one more for each update.
        loss: the textual loss that led to this step; None for step 0.
        gradient: the textual gradient made of it.
        chosen: id of the candidate that this step set out to improve.
        rejected: id of the candidate that it was compared with.
        candidates: the answers of this step.
    """

    step: int
    loss: str | None
    gradient: str | None
    chosen: str | None
    rejected: str | None
    candidates: list[Candidate]


class RoleUsage(msgspec.Struct):
    """What one role cost.

    Attributes:
        calls: requests made, failed ones included.
        retries: how many of these repeated a failed one.
        prompt_tokens: tokens sent, those that the server had cached included.
        cached_tokens: prompt tokens served from the server's prefix cache, where the server reports them.
        completion_tokens: tokens generated, reasoning and answers cut short included.
        seconds: wall-clock time in which at least one call of this role was under way.
        waited: wall-clock time in which at least one call of this role waited for room at the server.
    """

    calls: int = 0
    retries: int = 0
    prompt_tokens: int = 0
    cached_tokens: int = 0
    completion_tokens: int = 0
    seconds: float = 0.0
    waited: float = 0.0


class ArmUsage(RoleUsage):
    """What one arm of a panel cost, in all roles, and what it brought.

    Attributes:
        answers: answers that it wrote.
        wins: how many of them were chosen: 0 or 1 for one query.
    """

    answers: int = 0
    wins: int = 0


class Result(msgspec.Struct, frozen=True):
    """The result of one query.

    Attributes:
        answer: the best answer, by the method's rule.
        reward: its reward; None where nothing was scored.
        method: the method's name.
        width: N.
        depth: D.
        stop: why the search ended: depth, converged, enough, budget, context (the next prompt did not fit the model's
            context), deadline, interrupt or error; interrupt is also the reason in the trace of a killed search.
        steps: the steps, each with its critique, advice and candidates.
        usage: what each role cost.
        seconds: wall-clock time.
        chosen: id of the answer among the candidates.
        trace: the records from which all of this is computed.
        arms: what each arm of a panel cost and won; empty where the policy is one model.
        held_out: the held-out judge's scores of the first sample and the answer; None without a judge.
        select: the rule that chose the answer among the candidates, with its number.
    """

    answer: str
    reward: float | None
    method: str
    width: int
    depth: int
    stop: str
    steps: list[Step]
    usage: dict[str, RoleUsage]
    seconds: float
    chosen: str
    trace: list[Record]
    held_out: HeldOut | None = None
    arms: dict[str, ArmUsage] = {}
    select: str = "best"

    @property
    def candidates(self) -> list[Candidate]:
        """All candidates of all steps."""
        return [candidate for step in self.steps for candidate in step.candidates]

    def __repr__(self) -> str:
        return (
            f"Result(reward={rounded(self.reward)}, method={self.method!r}, width={self.width}, depth={self.depth}, "
            f"stop={self.stop!r}, candidates={len(self.candidates)}, answer={shortened(self.answer)!r})"
        )

    def _repr_html_(self) -> str:
        """The result in a notebook: the answer, the best reward by step, and the steps to unfold."""
        facts = [f"reward {rounded(self.reward)}", self.method, f"N {self.width}", f"D {self.depth}"]
        facts += [f"{len(self.candidates)} answers", f"{self.seconds:.1f} s", f"ended: {self.stop}"]
        if self.held_out is not None:
            facts.append(f"held-out judge {rounded(self.held_out.first)} → {rounded(self.held_out.answer)}")
        warning = held_out_warning(self)
        usage = [
            (role, used.calls, used.prompt_tokens, used.completion_tokens, f"{used.seconds:.1f}")
            for role, used in self.usage.items()
            if used.calls
        ]
        return frame(
            heading("Answer", facts),
            text_block(self.answer),
            text_block(f"Warning: {warning}") if warning else "",
            curve(best_by_step(self.steps), "Best reward by step"),
            *(self._step_html(step) for step in self.steps),
            unfolding("Tokens and time", table(("role", "calls", "prompt", "completion", "seconds"), usage)),
            unfolding("Models of the panel", table(ARM_HEADINGS, map(arm_row, self.arms.items()))) if self.arms else "",
        )

    def _step_html(self, step: Step) -> str:
        rows = [
            (one.id, rounded(one.reward), "the answer" if one.id == self.chosen else "", shortened(one.text, 160))
            for one in step.candidates
        ]
        words = [
            part
            for title, text in (("Critique", step.loss), ("Advice", step.gradient))
            if text
            for part in (heading(title), text_block(text))
        ]
        title = "First samples" if step.step == 0 else f"Step {step.step}"
        return unfolding(f"{title}: {len(rows)} answers", *words, table(("id", "reward", "", "text"), rows))

    def to_dict(self) -> dict[str, Any]:
        """The result as plain data, without the trace and with only the documented keys of a candidate."""
        value: dict[str, Any] = msgspec.to_builtins(self)
        del value["trace"]
        return value


def best_by_step(steps: Iterable[Step]) -> list[float | None]:
    """The reward of the best answer until each step; None before any has a reward."""
    found: list[Candidate] = []
    bests = []
    for step in steps:
        found += step.candidates
        bests.append(best_reward(found))
    return bests


ARM_HEADINGS = ("model", "answers chosen", "answers", "calls", "prompt tokens", "completion tokens", "seconds")


def arm_row(named: tuple[str, ArmUsage]) -> tuple[str, ...]:
    """What a model of a panel brought and cost, under `ARM_HEADINGS`."""
    name, used = named
    counts = (used.wins, used.answers, used.calls, used.prompt_tokens, used.completion_tokens)
    return (name, *map(str, counts), f"{used.seconds:.1f}")


def held_out_warning(result: Result) -> str | None:
    """That the reward rose while the held-out judge fell, in a sentence; None where that is not so."""
    found, first = result.held_out, result.candidates[0].reward
    if found is None or found.first is None or found.answer is None or first is None or result.reward is None:
        return None
    if not (result.reward > first and found.answer < found.first):
        return None
    return "the reward rose while the held-out judge fell: read the answer before you trust the reward"


def held_out_line(result: Result) -> str | None:
    """What the held-out judge found, in a sentence for a user; None where there is none."""
    found = result.held_out
    if found is None:
        return None
    if found.first is None or found.answer is None:
        return f"the held-out judge gave no score: {found.error or 'there was no text to score'}"
    return f"the held-out judge scores the first sample {rounded(found.first)} and the answer {rounded(found.answer)}"


def result_of(records: Sequence[Record]) -> Result:
    """Read the result off a journal.

    Args:
        records: a whole journal, or the beginning of one.

    Raises:
        JournalError: there is no answer in it.
    """
    return result_from(SearchState(records), records)


def result_from(state: SearchState, records: Sequence[Record]) -> Result:
    """Read the result off a search's state.

    Args:
        state: what the records were folded into.
        records: the records, for the result's trace.

    Raises:
        JournalError: there is no answer in it.
    """
    plan, candidates, ended = state.plan, state.candidates, state.ended
    if plan is None or not candidates:
        raise JournalError("The trace holds no answer yet.")
    pool = Pool()
    pool.add(candidates)
    # A trace that was cut off by a kill has no end: its answer is the best so far.
    ids = {candidate.id: candidate for candidate in candidates}
    judges = any(call.role == JUDGE for call in state.calls)
    chosen = ids.get(ended.chosen or "", pool.chosen) if ended else pool.chosen
    return Result(
        answer=chosen.text,
        reward=chosen.reward,
        method=plan.method,
        width=plan.width,
        depth=plan.depth,
        stop=ended.stop if ended else "interrupt",
        steps=_steps(state, candidates),
        usage={role: _usage(role, state.calls) for role in (*USERS, *([JUDGE] if judges else []))},
        seconds=ended.seconds if ended else max((call.began + call.seconds for call in state.calls), default=0.0),
        chosen=chosen.id,
        trace=list(records),
        held_out=_held_out(state.judged),
        arms=_arms(state.calls, candidates, chosen),
        select=plan.select,
    )


def _held_out(judged: Judged | None) -> HeldOut | None:
    if judged is None:
        return None
    return HeldOut(judged.judge, judged.first_score, judged.chosen_score, judged.error)


def _steps(state: SearchState, candidates: Sequence[Candidate]) -> list[Step]:
    # A comparison of candidates when all are drawn belongs to no step.
    working = [one for one in state.prompted.values() if one.width is not None or one.name.endswith(KINDS)]
    last = max((prompt.step for prompt in working), default=0)
    steps = []
    for number in range(last + 1):
        shown = next((p for p in state.prompted.values() if p.step == number and p.chosen), None)
        replies = [reply for reply in state.replied.values() if reply.step == number]
        loss, gradient = (
            "\n\n".join(reply.text for reply in replies if reply.name.endswith(kind)) or None for kind in KINDS
        )
        steps.append(
            Step(
                step=number,
                loss=loss,
                gradient=gradient,
                chosen=shown.chosen if shown else None,
                rejected=shown.rejected if shown else None,
                candidates=[candidate for candidate in candidates if candidate.step == number],
            )
        )
    return steps


KINDS = ("loss", "gradient")


def _arms(calls: Sequence[Called], candidates: Sequence[Candidate], chosen: Candidate) -> dict[str, ArmUsage]:
    names = {call.arm for call in calls} | {candidate.arm for candidate in candidates}
    arms = {}
    for name in sorted(name for name in names if name is not None):
        usage = _add_calls(ArmUsage(), [call for call in calls if call.arm == name])
        usage.answers = sum(candidate.arm == name and candidate.error is None for candidate in candidates)
        usage.wins = int(chosen.arm == name)
        arms[name] = usage
    return arms


def _usage(role: str, calls: Sequence[Called]) -> RoleUsage:
    return _add_calls(RoleUsage(), [call for call in calls if call.role == role])


U = TypeVar("U", bound=RoleUsage)


def _add_calls(usage: U, calls: Sequence[Called]) -> U:
    spans, waits = [], []
    for call in calls:
        usage.calls += 1
        usage.retries += call.retry
        usage.prompt_tokens += call.usage.prompt_tokens
        usage.cached_tokens += call.usage.cached_tokens
        usage.completion_tokens += call.usage.completion_tokens
        spans.append((call.began, call.began + call.seconds))
        waits.append((call.began - call.waited, call.began))
    usage.seconds, usage.waited = _covered(spans), _covered(waits)
    return usage


def _covered(spans: list[tuple[float, float]]) -> float:
    # Calls overlap: time is counted once, however many were under way.
    seconds = covered = 0.0
    for began, ended in sorted(spans):
        seconds += max(ended - max(began, covered), 0.0)
        covered = max(covered, ended)
    return round(seconds, 4)
