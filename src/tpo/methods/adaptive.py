"""Adaptive: a bandit over the other methods' ways to get answers, which ends when no way pays.

Each way (a `Proposal`) makes a prompt of what is there. One wave after another is split over the ways that have
something to work with, by the gain per token that each is expected to bring (`bandit`).
"""

from __future__ import annotations

import random
from collections.abc import Callable, Generator, Iterable, Mapping
from pathlib import Path
from typing import Annotated, Literal, NamedTuple

import msgspec

from tpo.messages import Conversation
from tpo.methods.actions import Action, Ask, Outcome, Reply, Sample, Search
from tpo.methods.bandit import PLAIN, Bandit
from tpo.methods.definition import Price, method
from tpo.methods.lifts import PLAIN_PROMPT, Lifts
from tpo.methods.pool import Pool
from tpo.methods.stopping import StopRule
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
    """

    query: Conversation
    prompts: PromptSet
    pool: Pool
    rng: random.Random


class Proposal(NamedTuple):
    """One way to get the next answers.

    Attributes:
        name: the name of the prompt that the answers are drawn from.
        possible: whether the pool holds what it needs.
        prompt: what to sample from, given the critic's reply; that is empty where no critic is called.
        ask: what to send to a critic before, if anything.
    """

    name: str
    possible: Callable[[Pool], bool]
    prompt: Callable[[Material, Reply], Prompt]
    ask: Callable[[Material], Prompt] | None = None


def _resample(given: Material, _: Reply) -> Prompt:
    return given.prompts.render("answer", given.query)


def _restate(given: Material, _: Reply) -> Prompt:
    chosen = given.pool.chosen
    return given.prompts.render("restate", given.query, role="policy", chosen=chosen, failed=unmet(chosen))


def _words(given: Material, _: Reply) -> Prompt:
    chosen = given.pool.chosen
    answered = [*given.query, {"role": "assistant", "content": chosen.text}]
    return given.prompts.render("words", answered, role="policy", chosen=chosen, failed=unmet(chosen))


def _fusion(given: Material, _: Reply) -> Prompt:
    drafts = given.pool.ranked(MERGED)
    given.rng.shuffle(drafts)
    return given.prompts.render("fuse", given.query, drafts=drafts, analysis="")


def _critique(given: Material) -> Prompt:
    pool = given.pool
    return given.prompts.render("fused_loss", given.query, chosen=pool.chosen, rejected=pool.rejected)


def _advice(given: Material, critique: Reply) -> Prompt:
    chosen, rejected = given.pool.chosen, given.pool.rejected
    return given.prompts.render(
        "fused_update", given.query, chosen=chosen, rejected=rejected, loss=critique, gradient=critique
    )


Arm = Literal["restate", "words", "resample", "fusion", "advice"]
ARMS: list[Arm] = ["restate", "words", "resample", "fusion", "advice"]
PROPOSALS: dict[str, Proposal] = {
    "restate": Proposal("restate", lambda pool: bool(unmet(pool.chosen)), _restate),
    "words": Proposal("words", lambda pool: bool(pool.chosen.text and unmet(pool.chosen)), _words),
    "resample": Proposal(PLAIN_PROMPT, lambda pool: True, _resample),
    "fusion": Proposal("fuse", lambda pool: len(pool.ranked(2)) == 2, _fusion),
    "advice": Proposal("fused_update", lambda pool: bool(pool.chosen.text), _advice, _critique),
}
# A first probe: the reward's own words brought more than resampling did, and a critic's advice less for its tokens.
LIFTS: dict[Arm, float] = {"restate": 0.5, "words": 0.25, "fusion": -0.5, "advice": -1.0}
# In answers: how much `prior` weighs against what the earlier queries of a run showed.
PRIOR_WEIGHT = 2.0
# A critique is about as long as an answer.
COSTS = {"advice": 2.0}


@method(
    templates=TEMPLATES,
    paper="arXiv 2503.04412 (AB-MCTS), arXiv 2510.01394 (Pandora's box)",
    costliest={"arms": ["advice"], "price": 0.0},  # a critique for every wave
)
def adaptive(
    query: Conversation,
    *,
    width: int,
    depth: int,
    prompts: PromptSet,
    rng: random.Random,
    maximum: float | None = None,
    lifts: Lifts | None = None,
    arms: list[Arm] = ARMS,
    prior: dict[Arm, float] = LIFTS,
    first: Annotated[int, msgspec.Meta(ge=0)] = 0,
    wave: Annotated[int, msgspec.Meta(ge=1)] = 2,
    price: Price = 0.05,
    learn: bool = False,
) -> Search:
    """Draw each wave of answers in the way that promises the most reward per token, until no answer is worth its price.

    Args:
        query: the conversation to answer.
        width: N; at most N(D+1) answers are drawn.
        depth: D; likewise.
        prompts: the wording.
        rng: makes the bandit's draws, and shuffles drafts.
        maximum: the largest reward that there is, where it is known.
        lifts: what the earlier queries of the run showed; None outside a run.
        arms: the ways to get answers; one that finds nothing to work with, such as a requirement that failed, is left
            out of a wave.
        prior: for an arm, by how many standard deviations its answers are expected to exceed plain ones.
        first: plain answers in the first wave; 0 is 1 where the largest reward is known, and N where it is not.
        wave: answers in the second wave; each later one has twice as many as the one before.
        price: the reward that the next answer has to be expected to gain.
        learn: what the earlier queries of the run showed counts beside `prior`; a run with many queries at once is then
            no longer the same each time.
    """
    pool, rule = Pool(), StopRule(maximum=maximum)
    bandit = Bandit(_expected(arms, prior, (lifts or {}) if learn else {}), COSTS, maximum, rng)
    material = Material(query, prompts, pool, rng)
    left = width * (depth + 1)
    size = min(first or (width if maximum is None else 1), left)
    drawn = yield Sample(prompts.render("answer", query), size)
    pool.add(drawn)
    bandit.record(PLAIN, drawn[:size])
    left -= size
    size = wave
    while left > 0:
        open_arms = [arm for arm in arms if PROPOSALS[arm].possible(pool)]
        # Until there is an answer that can be used, the next one is worth any price.
        usable = pool.chosen.reward is not None and pool.chosen.leaked is None
        best = _bar(pool, usable=usable)
        rewards = [one.reward for one in pool.candidates if one.reward is not None]
        priced = usable and rule.knows_scale(rewards)
        if rule.enough(pool) or not open_arms or (priced and bandit.expected_gain(open_arms, best) < price):
            return Outcome(pool.chosen, "enough")
        size = min(size, left)
        shares = bandit.split(open_arms, size, best)
        replies = yield from _critiques(shares, material)
        samples: list[Action] = [
            Sample(PROPOSALS[arm].prompt(material, replies[arm]), share) for arm, share in shares.items()
        ]
        for (arm, share), answers in zip(shares.items(), (yield samples), strict=True):
            pool.add(answers)
            bandit.record(arm, answers[:share], replies[arm].tokens)
        bandit.renew(pool.candidates)
        left -= size
        size *= 2
    return Outcome(pool.chosen, "depth")


def _bar(pool: Pool, *, usable: bool) -> float:
    """The reward that the next answers have to exceed: of the best answer, or the worst of all if none can be used."""
    rewards = [one.reward for one in pool.candidates if one.reward is not None]
    return (pool.chosen.reward or 0.0) if usable else min(rewards, default=0.0)


def _expected(arms: Iterable[Arm], prior: Mapping[Arm, float], lifts: Lifts) -> dict[str, float]:
    """By how much the answers of each arm are expected to exceed plain ones, in standard deviations."""
    expected: dict[str, float] = {}
    for arm in arms:
        before, seen = prior.get(arm, 0.0), lifts.get(PROPOSALS[arm].name)
        expected[arm] = before if seen is None else seen.blended(before, PRIOR_WEIGHT)
    return expected


def _critiques(arms: Iterable[str], material: Material) -> Generator[Ask, Reply, dict[str, Reply]]:
    """The critic's replies by arm, for the arms that call one; empty for the others."""
    replies = dict.fromkeys(arms, Reply(""))
    for arm in replies:
        if (ask := PROPOSALS[arm].ask) is not None:
            replies[arm] = yield Ask(ask(material))
    return replies
