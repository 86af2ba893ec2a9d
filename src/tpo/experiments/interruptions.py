"""What an interrupted run had begun and wrote again later: a cost of the interruption, not of the method."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable
from typing import NamedTuple

from tpo.engine.records import Called, Record, Resumed, Sampled
from tpo.engine.state import CUT_SHORT


class Again(NamedTuple):
    """Tokens of calls that an interruption cut off.

    Attributes:
        completion: less those of answers that had landed by then, which are kept.
        prompt: of these calls.
    """

    completion: int
    prompt: int


def written_again(records: Iterable[Record], roles: Collection[str]) -> Again:
    """Count what one search wrote again. A process that was killed leaves no record of its last calls.

    Args:
        records: the search's journal.
        roles: whose calls count.
    """
    completion = prompt = 0
    # Of the process so far, by turn and action.
    spent: Counter[tuple[int, int]] = Counter()
    landed: Counter[tuple[int, int]] = Counter()
    cut: Counter[tuple[int, int]] = Counter()
    for record in records:
        match record:
            case Called() if record.role in roles:
                place = record.turn, record.action
                spent[place] += record.usage.completion_tokens
                if record.cut_short:
                    cut[place] += record.usage.prompt_tokens
            case Sampled() if record.finish_reason not in CUT_SHORT:
                landed[record.turn, record.action] += record.tokens
            case Resumed():
                completion += sum(max(spent[place] - landed[place], 0) for place in cut)
                prompt += cut.total()
                for counts in (spent, landed, cut):
                    counts.clear()
    return Again(completion, prompt)
