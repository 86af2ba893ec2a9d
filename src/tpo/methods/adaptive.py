"""Adaptive: a bandit over the other methods' ways to get answers, which ends when no way pays.

One wave after another is split over the ways that have something to work with (`proposals`), by the gain per token that
each is expected to bring (`bandit`).
"""

from __future__ import annotations

import random
from typing import Annotated, Literal

import msgspec

from tpo.messages import Conversation
from tpo.methods.actions import Action, Ask, Outcome, Reply, Sample, Search
from tpo.methods.bandit import PLAIN, Bandit
from tpo.methods.definition import method
from tpo.methods.pool import Pool
from tpo.methods.proposals import PROPOSALS, TEMPLATES, Material
from tpo.methods.stopping import StopRule
from tpo.prompts.prompt_set import PromptSet

Arm = Literal["restate", "words", "resample", "fusion", "advice"]
ARMS: list[Arm] = ["restate", "words", "resample", "fusion", "advice"]
# A first probe: the reward's own words brought more than resampling did, and a critic's advice less for its tokens.
LIFTS: dict[Arm, float] = {"restate": 0.5, "words": 0.25, "fusion": -0.5, "advice": -1.0}
# A critique is about as long as an answer.
COSTS = {"advice": 2.0}


@method(templates=TEMPLATES, paper="arXiv 2503.04412 (AB-MCTS), arXiv 2510.01394 (Pandora's box)")
def adaptive(
    query: Conversation,
    *,
    width: int,
    depth: int,
    prompts: PromptSet,
    rng: random.Random,
    maximum: float | None = None,
    arms: list[Arm] = ARMS,
    prior: dict[Arm, float] = LIFTS,
    first: Annotated[int, msgspec.Meta(ge=0)] = 0,
    wave: Annotated[int, msgspec.Meta(ge=1)] = 2,
    price: Annotated[float, msgspec.Meta(ge=0)] = 0.05,
) -> Search:
    """Draw each wave of answers from where the most reward per token is to be expected, until none is worth its price.

    Args:
        query: the conversation to answer.
        width: N; at most N(D+1) answers are drawn.
        depth: D; likewise.
        prompts: the wording.
        rng: decides between arms that look alike.
        maximum: the largest reward that there is, where it is known.
        arms: the ways to get answers; one that finds nothing to work with, such as a requirement that failed, is left
            out of a wave.
        prior: for an arm, by how many standard deviations its answers are expected to exceed plain ones.
        first: plain answers in the first wave; 0 is 1 where the largest reward is known, and N where it is not.
        wave: answers in the second wave; each later one has twice as many as the one before.
        price: the reward that the next answer has to be expected to gain.
    """
    pool, rule = Pool(), StopRule(maximum=maximum)
    bandit = Bandit({arm: prior.get(arm, 0.0) for arm in arms}, COSTS, maximum, rng)
    left = width * (depth + 1)
    size = min(first or (width if maximum is None else 1), left)
    drawn = yield Sample(prompts.render("answer", query), size)
    pool.add(drawn)
    bandit.record(PLAIN, drawn)
    left -= size
    size = wave
    while left > 0:
        open_arms = [arm for arm in arms if PROPOSALS[arm].possible(pool)]
        best = pool.chosen.reward or 0.0
        if rule.enough(pool) or not open_arms or bandit.expected_gain(open_arms, best) < price:
            return Outcome(pool.chosen, "enough")
        size = min(size, left)
        shares = bandit.split(open_arms, size, best)
        material = Material(query, prompts, pool, rng)
        samples: list[Action] = []
        critique_tokens = {}
        for arm, share in shares.items():
            proposal, critique = PROPOSALS[arm], Reply("")
            if proposal.ask is not None:
                critique = yield Ask(proposal.ask(material))
            critique_tokens[arm] = critique.tokens
            samples.append(Sample(proposal.prompt(material._replace(critique=critique)), share))
        for arm, answers in zip(shares, (yield samples), strict=True):
            pool.add(answers)
            bandit.record(arm, answers, critique_tokens[arm])
        left -= size
        size *= 2
    return Outcome(pool.chosen, "depth")
