"""Fusion of N drafts (FusioN, arXiv 2510.00931): one answer is made of the best parts of many.

The paper returns the merged answer as it is. Here it competes with the drafts by its reward.
"""

from __future__ import annotations

import random
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import msgspec

from tpo.errors import InputError
from tpo.messages import Conversation
from tpo.methods.actions import Ask, Outcome, Sample, Search
from tpo.methods.definition import Price, Temperature, Wave, method
from tpo.methods.pool import Pool
from tpo.methods.stopping import StopRule, draw
from tpo.prompts.prompt_set import PromptSet


def _two_or_more(settings: Mapping[str, Any]) -> None:
    if settings.get("drafts") == 1:
        raise InputError(
            "The setting drafts of the method fusion is 1, and one draft cannot be merged: set 2 or more, or 0 for all."
        )


@method(templates=Path(__file__).parent / "templates" / "fusion", paper="arXiv 2510.00931 (FusioN)", check=_two_or_more)
def fusion(
    query: Conversation,
    *,
    width: int,
    prompts: PromptSet,
    rng: random.Random,
    maximum: float | None = None,
    drafts: Annotated[int, msgspec.Meta(ge=0)] = 0,
    merges: Annotated[int, msgspec.Meta(ge=1, le=64)] = 1,
    analysis: bool = False,
    temperature: Temperature | None = None,
    price: Price = 0.0,
    wave: Wave = 0,
) -> Search:
    """Draw answers at once and merge them into one, which competes with them by its reward.

    Args:
        query: the conversation to answer.
        width: N, drafts.
        prompts: the wording.
        rng: shuffles the drafts, since the first place is liked best.
        maximum: the largest reward that there is, where it is known.
        drafts: how many of the best are merged, 2 or more; 0 merges all.
        merges: how many merged answers are drawn.
        analysis: compare the drafts in a call of its own first.
        temperature: sampling temperature of the merges; the run's unless given.
        price: the reward that one more answer has to be expected to gain; 0 never stops for lack of gain.
        wave: answers drawn at once, as one number, or wave by wave (`2,5,8`; the last repeats); 0 draws all at once.
    """
    pool, rule = Pool(), StopRule(price, maximum)
    drawn = yield from draw(prompts.render("answer", query), width, pool, rule, wave)
    shown = pool.ranked(drafts or None)
    if drawn.enough or len(shown) < 2:
        return Outcome(pool.chosen, "enough" if drawn.enough else "converged")
    rng.shuffle(shown)
    compared = ""
    if analysis:
        compared = yield Ask(prompts.render("fuse_analysis", query, role="critic", drafts=shown))
    prompt = prompts.render("fuse", query, drafts=shown, analysis=compared)
    pool.add((yield Sample(prompt, merges, temperature=temperature)))
    return Outcome(pool.chosen, "depth")
