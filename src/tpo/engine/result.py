"""The result of a run: a view of its journal, so that a replayed trace gives the same object."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from tpo.candidate import Candidate
from tpo.engine.records import Called, Ended, Prompted, Record, Replied, Sampled, Scored, Started
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


def candidate_of(sampled: Sampled, scored: Scored | None) -> Candidate:
    """Put an answer and its score together."""
    candidate = Candidate(
        id=sampled.id,
        step=sampled.step,
        text=sampled.text,
        finish_reason=sampled.finish_reason,
        tokens=sampled.tokens,
        error=sampled.error,
        message=sampled.message,
        logprobs=sampled.logprobs,
        leaked=sampled.leaked,
    )
    if scored is None:
        return candidate
    return msgspec.structs.replace(
        candidate, reward=scored.reward, parts=scored.parts, feedback=scored.feedback, error=scored.error
    )


def result_of(records: Sequence[Record]) -> Result:
    """Read the result off a journal.

    Args:
        records: a whole journal, or the beginning of one.

    Raises:
        JournalError: there is no answer in it.
    """
    started = records[0]
    assert isinstance(started, Started)
    pairs = _pairs(records)
    pool = Pool()
    pool.add(candidate_of(*pair) for pair in pairs)
    if not pool.candidates:
        raise JournalError("The trace holds no answer yet.")
    ended = next((record for record in reversed(records) if isinstance(record, Ended)), None)
    by_id = {candidate.id: candidate for candidate in pool.candidates}
    # A trace that was cut off by a kill has no end: its answer is the best so far.
    chosen = by_id.get(ended.chosen or "", pool.chosen) if ended else pool.chosen
    plan = started.plan
    return Result(
        answer=chosen.text,
        reward=chosen.reward,
        method=plan.method,
        width=plan.width,
        depth=plan.depth,
        stop=ended.stop if ended else "interrupt",
        steps=_steps(records, pool.candidates),
        usage={role: _usage(role, records) for role in USERS},
        seconds=ended.seconds if ended else _elapsed(records),
        chosen=chosen.id,
        trace=list(records),
    )


def _pairs(records: Sequence[Record]) -> list[tuple[Sampled, Scored | None]]:
    # The last word counts: a resumed run draws again what had failed.
    sampled = {(r.turn, r.action, r.index): r for r in records if isinstance(r, Sampled)}
    scored = {(r.turn, r.action, r.index): r for r in records if isinstance(r, Scored)}
    return [(sampled[place], scored.get(place)) for place in sorted(sampled)]


def _steps(records: Sequence[Record], candidates: Sequence[Candidate]) -> list[Step]:
    prompted = {(r.turn, r.action): r for r in records if isinstance(r, Prompted)}
    last = max((prompt.step for prompt in prompted.values()), default=0)
    replied = [r for r in records if isinstance(r, Replied)]
    steps = []
    for number in range(last + 1):
        shown = next((p for p in prompted.values() if p.step == number and p.chosen), None)
        said = {kind: [r.text for r in replied if r.step == number and r.name.endswith(kind)] for kind in KINDS}
        steps.append(
            Step(
                step=number,
                loss="\n\n".join(said["loss"]) or None,
                gradient="\n\n".join(said["gradient"]) or None,
                chosen=shown.chosen if shown else None,
                rejected=shown.rejected if shown else None,
                candidates=[candidate for candidate in candidates if candidate.step == number],
            )
        )
    return steps


KINDS = ("loss", "gradient")


def _usage(role: str, records: Sequence[Record]) -> RoleUsage:
    usage = RoleUsage()
    spans, waits = [], []
    for call in records:
        if isinstance(call, Called) and call.role == role:
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


def _elapsed(records: Sequence[Record]) -> float:
    return max((r.began + r.seconds for r in records if isinstance(r, Called)), default=0.0)
