"""The result of a search, read off its state, so that a replayed trace gives the same object."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from tpo.candidate import Candidate
from tpo.engine.records import Called, Record
from tpo.engine.state import SearchState
from tpo.errors import JournalError
from tpo.methods import Pool

USERS = ("policy", "critic", "editor", "reward")


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
        cached_tokens: prompt tokens served from the server's prefix cache, where it says so.
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


class Result(msgspec.Struct, frozen=True):
    """What came of one query.

    Attributes:
        answer: the best answer, by the method's rule.
        reward: its reward; None where nothing was scored.
        method: the method's name.
        width: N.
        depth: D.
        stop: why the run ended: depth, converged, budget, deadline or interrupt; for the trace of a run that
            failed or was killed also error or interrupt.
        steps: what happened, step by step.
        usage: what each role cost.
        seconds: wall-clock time.
        chosen: id of the answer among the candidates.
        trace: the records that all of this is made from.
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

    @property
    def candidates(self) -> list[Candidate]:
        """All candidates of all steps."""
        return [candidate for step in self.steps for candidate in step.candidates]

    def to_dict(self) -> dict[str, Any]:
        """The result as plain data, without the trace and with only the documented keys of a candidate."""
        value: dict[str, Any] = msgspec.to_builtins(self)
        del value["trace"]
        return value


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
    chosen = ids.get(ended.chosen or "", pool.chosen) if ended else pool.chosen
    return Result(
        answer=chosen.text,
        reward=chosen.reward,
        method=plan.method,
        width=plan.width,
        depth=plan.depth,
        stop=ended.stop if ended else "interrupt",
        steps=_steps(state, candidates),
        usage={role: _usage(role, state.calls) for role in USERS},
        seconds=ended.seconds if ended else max((call.began + call.seconds for call in state.calls), default=0.0),
        chosen=chosen.id,
        trace=list(records),
    )


def _steps(state: SearchState, candidates: Sequence[Candidate]) -> list[Step]:
    last = max((prompt.step for prompt in state.prompted.values()), default=0)
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


def _usage(role: str, calls: Sequence[Called]) -> RoleUsage:
    usage = RoleUsage()
    spans, waits = [], []
    for call in calls:
        if call.role == role:
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
