"""Ways to get the next answers, which the `adaptive` method chooses among: each makes a prompt of what is there."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from tpo.messages import Conversation
from tpo.methods.pool import Pool
from tpo.methods.unmet import unmet
from tpo.prompts.prompt import Prompt
from tpo.prompts.prompt_set import PromptSet

# Drafts that a merge is made of; more of them swamp a small model's context.
MERGED = 3

TEMPLATES = tuple(Path(__file__).parent / "templates" / name for name in ("restate", "words", "fusion"))


class Material(NamedTuple):
    """What a prompt is made of.

    Attributes:
        query: the conversation to answer.
        prompts: the wording.
        pool: the answers so far.
        rng: shuffles what is shown.
        critique: what the critic replied, for a proposal that asks one first.
    """

    query: Conversation
    prompts: PromptSet
    pool: Pool
    rng: random.Random
    critique: str = ""


class Proposal(NamedTuple):
    """One way to get the next answers.

    Attributes:
        possible: whether the pool holds what it needs.
        prompt: what to sample from.
        ask: what to ask a critic before, if anything.
    """

    possible: Callable[[Pool], bool]
    prompt: Callable[[Material], Prompt]
    ask: Callable[[Material], Prompt] | None = None


def _resample(given: Material) -> Prompt:
    return given.prompts.render("answer", given.query)


def _restate(given: Material) -> Prompt:
    chosen = given.pool.chosen
    return given.prompts.render("restate", given.query, role="policy", chosen=chosen, failed=unmet(chosen))


def _words(given: Material) -> Prompt:
    chosen = given.pool.chosen
    answered = [*given.query, {"role": "assistant", "content": chosen.text}]
    return given.prompts.render("words", answered, role="policy", chosen=chosen, failed=unmet(chosen))


def _fusion(given: Material) -> Prompt:
    drafts = given.pool.ranked(MERGED)
    given.rng.shuffle(drafts)
    return given.prompts.render("fuse", given.query, drafts=drafts, analysis="")


def _critique(given: Material) -> Prompt:
    pool = given.pool
    return given.prompts.render("fused_loss", given.query, chosen=pool.chosen, rejected=pool.rejected)


def _advice(given: Material) -> Prompt:
    chosen, rejected, critique = given.pool.chosen, given.pool.rejected, given.critique
    return given.prompts.render(
        "fused_update", given.query, chosen=chosen, rejected=rejected, loss=critique, gradient=critique
    )


PROPOSALS: dict[str, Proposal] = {
    "restate": Proposal(lambda pool: bool(unmet(pool.chosen)), _restate),
    "words": Proposal(lambda pool: bool(pool.chosen.text and unmet(pool.chosen)), _words),
    "resample": Proposal(lambda pool: True, _resample),
    "fusion": Proposal(lambda pool: len(pool.ranked(2)) == 2, _fusion),
    "advice": Proposal(lambda pool: bool(pool.chosen.text), _advice, _critique),
}
