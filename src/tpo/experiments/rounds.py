"""The rounds of a search: the answers to one prompt, whether they were drawn at once or in waves.

A candidate's step counts waves, so it does not say how often the prompt changed.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from tpo.engine.records import Prompted, Record, Sampled
from tpo.messages import Conversation


class Origin(NamedTuple):
    """What a candidate was drawn with.

    Attributes:
        prompt: the prompt's name.
        round: how many changes of prompt came before.
    """

    prompt: str
    round: int


def origins(records: Iterable[Record], width: int) -> dict[str, Origin]:
    """What each candidate of a search was drawn with, by its id.

    A wave belongs to the round of the wave before where the prompt is the same and the round has fewer than N answers:
    a method may ask the same again in its next step.

    Args:
        records: the search's journal.
        width: N.
    """
    prompted: dict[tuple[int, int], Prompted] = {}
    places: dict[str, tuple[int, int]] = {}
    for record in records:
        if isinstance(record, Prompted):
            prompted[record.turn, record.action] = record
        elif isinstance(record, Sampled):
            places[record.id] = record.turn, record.action
    waves: dict[int, list[Prompted]] = {}
    for place in sorted(set(places.values())):
        waves.setdefault(place[0], []).append(prompted[place])
    rounds: dict[int, int] = {}
    number, drawn = -1, 0
    before: list[Conversation] = []
    for turn, wave in waves.items():
        shown = [one.messages for one in wave]
        if shown != before or drawn >= width:
            number, drawn, before = number + 1, 0, shown
        drawn += sum(one.width or 0 for one in wave)
        rounds[turn] = number
    return {id: Origin(prompted[place].name, rounds[place[0]]) for id, place in places.items()}
