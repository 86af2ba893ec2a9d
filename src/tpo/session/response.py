"""The content of a response: candidates, thoughts, token counts, and a summary of the search."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import msgspec

from tpo.candidate import Candidate, best_reward
from tpo.engine.records import Record, Sampled, Started
from tpo.engine.result import Result
from tpo.methods import Pool
from tpo.methods.pool import preference
from tpo.methods.selection import BEST

# Finish reasons of chat completions. An answer that a deadline cut off is as incomplete as one that was too long.
_REASONS = frozenset({"stop", "length", "tool_calls", "content_filter"})
_CUT = frozenset({"deadline", "budget", "interrupt"})


class TokenUsage(msgspec.Struct, frozen=True):
    """Tokens of one response.

    Attributes:
        prompt_tokens: tokens sent, by all roles together.
        cached_tokens: those of them that the server had cached.
        completion_tokens: tokens generated, by all roles together.
        answer_tokens: those of the answers that the client gets.
        roles: calls, prompt_tokens and completion_tokens of each role.
    """

    prompt_tokens: int = 0
    cached_tokens: int = 0
    completion_tokens: int = 0
    answer_tokens: int = 0
    roles: dict[str, dict[str, int]] = {}

    @property
    def total_tokens(self) -> int:
        """Prompt and completion tokens together."""
        return self.prompt_tokens + self.completion_tokens

    @property
    def details(self) -> dict[str, Any]:
        """What the field `tpo` of a usage holds."""
        return {"answer_tokens": self.answer_tokens, **self.roles}


class Completion(msgspec.Struct, frozen=True):
    """The content of a response.

    Attributes:
        candidates: the answers, the best first.
        usage: tokens.
        thoughts: the model's own reasoning, by the candidate's id; empty where it is not wanted.
        narration: the search's progress, as text; empty where it is not wanted.
        search: the summary of the search, which is the field `tpo` of every protocol; None without a search.
    """

    candidates: list[Candidate]
    usage: TokenUsage
    thoughts: dict[str, str] = {}
    narration: str = ""
    search: dict[str, Any] | None = None

    def finish_reason(self, index: int) -> str:
        """Why an answer ended, in the words of chat completions."""
        candidate = self.candidates[index]
        if (candidate.message or {}).get("tool_calls"):
            return "tool_calls"
        reason = candidate.finish_reason
        return "length" if reason in _CUT else reason if reason in _REASONS else "stop"


class SearchResult(msgspec.Struct, frozen=True):
    """A finished search and the candidates that the client gets.

    Attributes:
        result: the search.
        best: the answers, the best first.
        error: why the search ended early, where something failed.
    """

    result: Result
    best: list[Candidate]
    error: str | None = None

    def summary(self, *, trace: bool = False) -> dict[str, Any]:
        """The search in brief: the field `tpo` of every protocol.

        Args:
            trace: include the whole trace.
        """
        result = self.result
        summary = {
            "method": result.method,
            "width": result.width,
            "depth": result.depth,
            "stop": "error" if self.error else result.stop,
            "error": self.error,
            "candidates": len(result.candidates),
            "chosen": [candidate.id for candidate in self.best],
            "reward": result.reward,
            "reward_before": best_reward(one for one in result.candidates if one.step == 0),
            "reward_name": None if result.reward is None else _reward_name(result.trace),
            "seconds": result.seconds,
            **({} if result.held_out is None else {"held_out": msgspec.to_builtins(result.held_out)}),
            **({"arms": msgspec.to_builtins(result.arms)} if result.arms else {}),
            **({} if result.select == BEST else {"select": result.select}),
        }
        return summary | ({"trace": msgspec.to_builtins(result.trace)} if trace else {})

    def response(self, *, narration: str = "", thoughts: bool = True, trace: bool = False) -> Completion:
        """The response.

        Args:
            narration: the search's progress, as text.
            thoughts: include the model's own reasoning.
            trace: include the whole trace.
        """
        kept = thoughts_in(self.result.trace) if thoughts else {}
        return Completion(self.best, usage_of(self.result, self.best), kept, narration, self.summary(trace=trace))


def usage_of(result: Result, best: Sequence[Candidate]) -> TokenUsage:
    """The tokens of a search.

    Args:
        result: the search.
        best: the answers that the client gets.
    """
    used = {role: usage for role, usage in result.usage.items() if usage.calls}
    return TokenUsage(
        sum(usage.prompt_tokens for usage in used.values()),
        sum(usage.cached_tokens for usage in used.values()),
        sum(usage.completion_tokens for usage in used.values()),
        sum(candidate.tokens for candidate in best),
        {
            role: {kind: getattr(usage, kind) for kind in ("calls", "prompt_tokens", "completion_tokens")}
            for role, usage in used.items()
        },
    )


def total(usages: Iterable[TokenUsage]) -> TokenUsage:
    """The tokens of several responses together."""
    usages = list(usages)
    roles: dict[str, dict[str, int]] = {}
    for usage in usages:
        for role, counts in usage.roles.items():
            _add(roles.setdefault(role, {}), counts)
    return TokenUsage(
        sum(usage.prompt_tokens for usage in usages),
        sum(usage.cached_tokens for usage in usages),
        sum(usage.completion_tokens for usage in usages),
        sum(usage.answer_tokens for usage in usages),
        roles,
    )


def _add(total: dict[str, int], counts: Mapping[str, int]) -> None:
    for name, count in counts.items():
        total[name] = total.get(name, 0) + count


def thoughts_in(trace: Sequence[Record]) -> dict[str, str]:
    """The model's own reasoning in a trace, by the candidate's id."""
    return {record.id: record.reasoning for record in trace if isinstance(record, Sampled) and record.reasoning}


def best_of(result: Result, n: int) -> list[Candidate]:
    """The n best candidates, the answer first; duplicates only where nothing else is left."""
    pool = Pool()
    different = pool.add(result.candidates)
    chosen = next(candidate for candidate in pool.candidates if candidate.id == result.chosen)
    ranked = sorted(different, key=preference, reverse=True)
    again = [candidate for candidate in pool.candidates if candidate not in different and candidate.text]
    ordered = [chosen, *(c for c in ranked if c.text != chosen.text), *sorted(again, key=preference, reverse=True)]
    return [ordered[place % len(ordered)] for place in range(n)]


def _reward_name(trace: Sequence[Record]) -> str | None:
    started = trace[0] if trace else None
    return started.plan.reward if isinstance(started, Started) else None
