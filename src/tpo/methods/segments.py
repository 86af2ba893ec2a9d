"""Segments (TMPC, arXiv 2502.20795): the best parts of all answers so far are kept, and new answers are built on them.

Where other methods rewrite a whole answer, this one finds out in hindsight which parts of which answer were good.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Literal

import msgspec

from tpo.candidate import Candidate
from tpo.messages import Conversation
from tpo.methods.actions import Outcome, ScoreTexts, Search
from tpo.methods.definition import Price, method
from tpo.methods.pool import Pool
from tpo.methods.stopping import StopRule, draw
from tpo.prompts.prompt_set import PromptSet

Unit = Literal["paragraph", "sentence"]

_SENTENCE_END = re.compile(r"(?<=[.!?。！？])\s+")


@method(templates=Path(__file__).parent / "templates" / "segments", paper="arXiv 2502.20795 (TMPC)")
def segments(
    query: Conversation,
    *,
    width: int,
    depth: int,
    prompts: PromptSet,
    maximum: float | None = None,
    buffer: Annotated[int, msgspec.Meta(ge=1, le=64)] = 3,
    most: Annotated[int, msgspec.Meta(ge=1, le=64)] = 6,
    unit: Unit = "paragraph",
    threshold: float | None = None,
    price: Price = 0.0,
) -> Search:
    """Keep the best parts of the answers so far, and build the next answers on them; the best answer of all is kept.

    Args:
        query: the conversation to answer.
        width: N, answers per round.
        depth: D, rounds after the first.
        prompts: the wording.
        maximum: the largest reward that there is, where it is known.
        buffer: how many parts are kept; a better one takes the place of the worst.
        most: how many parts an answer has at most; neighbours are joined to keep to that.
        unit: what a part is; an answer of one paragraph has sentences as its parts.
        threshold: the reward that a part needs; any unless given.
        price: the reward that one more answer has to be expected to gain; 0 never stops for lack of gain.
    """
    pool, rule = Pool(), StopRule(price, maximum)
    kept: list[Candidate] = []
    prompt = answer = prompts.render("answer", query)
    for step in range(depth + 1):
        drawn = yield from draw(prompt, width, pool, rule)
        if drawn.enough:
            return Outcome(pool.chosen, "enough")
        if step and drawn.repeated:
            return Outcome(pool.chosen, "converged")
        if step < depth:
            parts = [part for candidate in drawn.fresh for part in split(candidate.text, unit, most)]
            # Together with those that are kept: the scores of two calls need not be comparable.
            texts = tuple(dict.fromkeys([*(one.text for one in kept), *parts]))
            scored = (yield ScoreTexts(texts)) if parts else kept
            kept = best_of(scored, buffer, threshold)
            prompt = prompts.render("combine", query, segments=kept) if kept else answer
    return Outcome(pool.chosen, "depth")


def best_of(scored: Sequence[Candidate], size: int, threshold: float | None) -> list[Candidate]:
    """The best parts, best first, the earlier of equals first.

    Args:
        scored: the parts.
        size: how many.
        threshold: the reward that each needs.
    """
    bar = -math.inf if threshold is None else threshold
    good = [(one.reward, one) for one in scored if one.reward is not None and one.reward >= bar]
    return [one for _, one in sorted(good, key=lambda pair: pair[0], reverse=True)][:size]


def split(text: str, unit: Unit, most: int) -> list[str]:
    """An answer's parts, in order.

    Args:
        text: the answer.
        unit: what a part is.
        most: how many parts there are at most.
    """
    parts = _blocks(text)
    if unit == "sentence" or len(parts) == 1:
        parts = [sentence for block in parts for sentence in _sentences(text, block)]
    size = max(math.ceil(len(parts) / most), 1)
    joined = [parts[start : start + size] for start in range(0, len(parts), size)]
    # Cut out of the answer, so that neighbours keep what stands between them.
    return [text[some[0].start : some[-1].stop] for some in joined]


def _blocks(text: str) -> list[slice]:
    """Where paragraphs are, and blocks of code with the blank lines that they hold."""
    cuts, place, in_code = [0], 0, False
    for line in text.splitlines(keepends=True):
        fence = line.lstrip().startswith("```")
        if (fence and not in_code) or not (line.strip() or in_code):
            cuts.append(place)
        place += len(line)
        if fence:
            in_code = not in_code
            if not in_code:
                cuts.append(place)
    return [part for start, stop in pairwise([*cuts, len(text)]) if (part := _stripped(text, start, stop))]


def _stripped(text: str, start: int, stop: int) -> slice | None:
    """Where the text between two places is, without the white space around it; None where there is no more."""
    piece = text[start:stop]
    start += len(piece) - len(piece.lstrip())
    return slice(start, start + len(piece.strip())) if piece.strip() else None


def _sentences(text: str, block: slice) -> list[slice]:
    if text.startswith("```", block.start):
        return [block]
    gaps = [gap.span() for gap in _SENTENCE_END.finditer(text, block.start, block.stop)]
    starts, stops = [block.start, *(stop for _, stop in gaps)], [*(start for start, _ in gaps), block.stop]
    return [slice(start, stop) for start, stop in zip(starts, stops, strict=True)]
