"""Recursive self-aggregation (RSA, arXiv 2509.26626): every answer of a round is made of some of the round before."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Annotated

import msgspec

from tpo.messages import Conversation
from tpo.methods.actions import Outcome, Sample, Search
from tpo.methods.definition import Price, method
from tpo.methods.pool import Pool
from tpo.methods.stopping import StopRule
from tpo.prompts.prompt_set import PromptSet


@method(templates=Path(__file__).parent / "templates" / "rsa", paper="arXiv 2509.26626 (RSA)")
def rsa(
    query: Conversation,
    *,
    width: int,
    depth: int,
    prompts: PromptSet,
    rng: random.Random,
    maximum: float | None = None,
    subset: Annotated[int, msgspec.Meta(ge=1)] = 4,
    price: Price = 0.0,
) -> Search:
    """Make each answer of a round from a few random answers of the round before; the best of all rounds is kept.

    Args:
        query: the conversation to answer.
        width: N, answers per round.
        depth: D, rounds after the first.
        prompts: the wording.
        rng: draws the subsets.
        maximum: the largest reward that there is, where it is known.
        subset: K, how many answers each new one is made of.
        price: the reward that one more answer has to be expected to gain; 0 never stops for lack of gain.
    """
    pool, rule = Pool(), StopRule(price, maximum)
    first = yield Sample(prompts.render("answer", query), width)
    pool.add(first)
    population = [candidate for candidate in first[:width] if candidate.text]
    for _ in range(depth if population else 0):
        if rule.enough(pool):
            return Outcome(pool.chosen, "enough")
        subsets = [rng.sample(population, min(subset, len(population))) for _ in range(width)]
        rounds = yield [Sample(prompts.render("aggregate", query, drafts=some), 1) for some in subsets]
        for candidates in rounds:
            pool.add(candidates)
        # After a round of failures the next one starts from the same answers.
        population = [new for new, *_ in rounds if new.text] or population
    return Outcome(pool.chosen, "depth")
