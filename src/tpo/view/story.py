"""A query's story as plain data: what the page and an exported file show.

All texts are in it as they were written and sent.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec

from tpo.decoding import prepared
from tpo.engine.journal import read_journal
from tpo.engine.records import Called, Ended, Prompted, Record, Resumed, Sampled, Started
from tpo.engine.result import Result, Step
from tpo.messages import Conversation, question, text_of
from tpo.runs.history import QueryHistory, result_in
from tpo.view.labels import reward_label

# Calls that the page shows; a query of depth 20 and width 100 has thousands.
CALLS = 2000
# Characters of a text in a list.
PREVIEW = 280


def story_json(story: QueryHistory) -> dict[str, Any]:
    """A query of a run."""
    return search_json(story.id, story.records, story.result, story.error)


def trace_json(name: str, path: Path) -> dict[str, Any]:
    """A trace of one query.

    Args:
        name: what it is called on the page.
        path: the file.

    Raises:
        JournalError: it is no trace, or is damaged.
    """
    records, _ = read_journal(path)
    return records_json(name, records)


def trace_line(name: str, path: Path) -> dict[str, Any]:
    """A trace in a line of a list, from its first record alone.

    Args:
        name: its name on the page.
        path: the file.
    """
    line: dict[str, Any] = {"name": name, "question": None, "method": None, "width": None, "depth": None, "at": None}
    try:
        with path.open("rb") as file:
            started = msgspec.json.decode(file.readline(), type=prepared(Started))
    except (OSError, msgspec.DecodeError, UnicodeDecodeError):  # listed all the same; opening it shows what is wrong
        return line
    plan = started.plan
    line |= {"question": preview(question(plan.query)), "method": plan.method, "width": plan.width}
    return line | {"depth": plan.depth, "at": started.at}


def preview(long: str | None) -> str | None:
    """The beginning of a text, on one line."""
    if long is None:
        return None
    flat = " ".join(long[: 2 * PREVIEW].split())
    return flat if len(flat) <= PREVIEW else f"{flat[: PREVIEW - 1]}…"


def records_json(name: str, records: Sequence[Record]) -> dict[str, Any]:
    """What there is of a search so far."""
    ended = last_end(records)
    return search_json(name, records, result_in(records), ended.error if ended is not None else None)


def state_of(records: Sequence[Record]) -> str:
    """`open` during a search, then `ended`, or `failed`."""
    ended = last_end(records)
    return "open" if ended is None else "ended" if ended.error is None else "failed"


def search_json(name: str, records: Sequence[Record], result: Result | None, error: str | None) -> dict[str, Any]:
    """The story of a query.

    Args:
        name: what it is called.
        records: what happened.
        result: the result so far; None where there is no answer yet.
        error: why it failed.
    """
    started = records[0] if records and isinstance(records[0], Started) else None
    ended = last_end(records)
    plan = started.plan if started is not None else None
    value: dict[str, Any] = {
        "name": name,
        "question": question(plan.query) if plan is not None else "",
        "query": messages_json(plan.query) if plan is not None else [],
        "plan": None,
        "version": started.version if started is not None else None,
        "at": started.at if started is not None else None,
        "state": "failed" if error is not None else "open" if ended is None else "ended",
        "stop": ended.stop if ended is not None else None,
        "error": error,
        "seconds": ended.seconds if ended is not None else None,
        "answer": None,
        "held_out": None,
        "judge_label": None,
        "arms": {},
        "steps": [],
        "usage": {},
        "prompts": [_prompt(record) for record in records if isinstance(record, Prompted)],
        "calls": [_call(record) for record in records if isinstance(record, Called)][:CALLS],
    }
    if plan is not None:
        value["plan"] = {key: v for key, v in msgspec.to_builtins(plan).items() if key != "query"}
        value["plan"]["reward_label"] = reward_label(plan.reward) if plan.reward is not None else None
    if result is not None:
        sampled = {record.id: record for record in records if isinstance(record, Sampled)}
        judged = {}
        if (held_out := result.held_out) is not None:
            judged = {result.candidates[0].id: held_out.first, result.chosen: held_out.answer}
            value["judge_label"] = reward_label(held_out.judge)
        value |= {
            "answer": result.chosen,
            "held_out": msgspec.to_builtins(result.held_out),
            "arms": msgspec.to_builtins(result.arms),
            "seconds": result.seconds,
            "steps": [_step(step, sampled, judged) for step in result.steps],
            "usage": {role: msgspec.to_builtins(used) for role, used in result.usage.items() if used.calls},
        }
    return value


def messages_json(messages: Conversation) -> list[dict[str, str]]:
    """Messages as role and text; tool calls and parts that are no text are named."""
    return [{"role": str(message.get("role", "")), "text": _text(message)} for message in messages]


def _text(message: Mapping[str, Any]) -> str:
    calls = message.get("tool_calls")
    called = msgspec.json.format(msgspec.json.encode(calls)).decode() if calls else ""
    return "\n".join(filter(None, [text_of(message), called]))


def last_end(records: Sequence[Record]) -> Ended | None:
    """How a search ended; None while it is open, or was taken up again."""
    last = next((r for r in reversed(records) if isinstance(r, Ended | Resumed)), None)
    return last if isinstance(last, Ended) else None


def _step(step: Step, sampled: Mapping[str, Sampled], judged: Mapping[str, float | None]) -> dict[str, Any]:
    value: dict[str, Any] = msgspec.to_builtins(step)
    for candidate in value["candidates"]:
        candidate.pop("logprobs", None)
        candidate.pop("message", None)
        written = sampled[candidate["id"]]
        candidate |= {"reply": written.reply, "reasoning": written.reasoning}
        candidate["judged"] = judged.get(candidate["id"])
    return value


def _prompt(record: Prompted) -> dict[str, Any]:
    return {
        "step": record.step,
        "name": record.name,
        "role": record.role,
        "width": record.width,
        "messages": messages_json(record.messages),
    }


def _call(record: Called) -> dict[str, Any]:
    return {
        "role": record.role,
        "began": record.began,
        "seconds": record.seconds,
        "waited": record.waited,
        "tokens": record.usage.completion_tokens,
        "retry": record.retry,
        "error": record.error,
        "arm": record.arm,
    }
