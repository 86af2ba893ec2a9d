"""Test-Time Preference Optimization: Algorithm 1 of the paper (arXiv 2501.12895, section 4)."""

from __future__ import annotations

from collections.abc import Generator
from typing import Annotated

import msgspec

from tpo.candidate import Candidate
from tpo.messages import Conversation
from tpo.methods.actions import Ask, Outcome, Reply, Search
from tpo.methods.by_step import WIDTHS, Width, of_step
from tpo.methods.contrast import Contrast, is_useful, one_demand, rejected_by
from tpo.methods.definition import Price, Temperature, Wave, method
from tpo.methods.pool import Pool
from tpo.methods.stopping import StopRule, draw
from tpo.methods.unmet import unmet
from tpo.prompts.prompt_set import PromptSet

# The same in every step.
TEMPERATURES: list[Temperature] = []


@method(paper="arXiv 2501.12895 (TPO)")
def tpo(
    query: Conversation,
    *,
    width: int,
    depth: int,
    prompts: PromptSet,
    maximum: float | None = None,
    price: Price = 0.0,
    wave: Wave = 0,
    contrast: Contrast = "worst",
    history: Annotated[int, msgspec.Meta(ge=0)] = 0,
    gate: bool = False,
    widths: list[Width] = WIDTHS,
    temperatures: list[Temperature] = TEMPERATURES,
) -> Search:
    """Contrast the best answer with the worst, turn the contrast into advice, sample again with the advice.

    Args:
        query: the conversation to answer.
        width: N, answers per step.
        depth: D, update steps; 0 is exactly Best-of-N.
        prompts: the wording.
        maximum: the largest reward that there is, where it is known.
        price: the reward that one more answer has to be expected to gain; 0 never stops for lack of gain.
        wave: answers drawn at once, as one number, or wave by wave (`2,5,8`; the last repeats); 0 draws a step's all at
            once.
        contrast: which worse answer is shown: the worst of all, the worst of the latest step, the closest in reward, or
            a minimal pair, which differs in the fewest parts of the reward. Where the reward names what the best answer
            of a minimal pair fails, one such requirement is the advice, and no critic is called.
        history: how many earlier gradients stand before the newest one.
        gate: follow advice only where it says something, and names a failed requirement where the reward knows them.
            Else the reward's own words are the advice, and without such words the query is sampled again.
        widths: answers of each step from the first, the last counting for all later ones; `width` unless given.
        temperatures: sampling temperatures likewise; the run's unless given.
    """
    pool, rule = Pool(), StopRule(price, maximum)
    prompt = answer = prompts.render("answer", query)
    gradients: list[str] = []
    reported: list[str] = []  # of each gradient, what are the reward's own words
    dials = [(of_step(widths, step, width), of_step(temperatures, step, None)) for step in range(depth + 1)]
    begins: list[int] = []  # of each step, the answers before it
    for step, (count, temperature) in enumerate(dials):
        if step:
            chosen, rejected = pool.chosen, rejected_by(contrast, pool, begins)
            loss = gradient = words = one_demand(chosen, rejected) if contrast == "minimal" else ""
            if words:
                # One demand alone: the words about all others would stand beside it.
                chosen = msgspec.structs.replace(chosen, feedback=None)
            else:
                loss, gradient = yield from _critique(query, prompts, chosen, rejected)
                if gate and not is_useful(gradient, chosen):
                    loss = gradient = words = unmet(chosen)
            gradients.append(gradient)
            reported.append(words)
            advice = "\n\n".join(filter(None, gradients[-1 - history :]))
            prompt = answer
            if advice:
                shown = reported[-1 - history :]
                prompt = prompts.render(
                    "update", query, chosen=chosen, rejected=rejected, reported=shown, loss=loss, gradient=advice
                )
        begins.append(len(pool.candidates))
        drawn = yield from draw(prompt, count, pool, rule, wave, temperature)
        if drawn.enough:
            return Outcome(pool.chosen, "enough")
        if step and drawn.repeated and all(later == dials[step] for later in dials[step:]):
            # Only known answers came back: the steps that are left would ask the same again.
            return Outcome(pool.chosen, "converged")
    return Outcome(pool.chosen, "depth")


def _critique(
    query: Conversation, prompts: PromptSet, chosen: Candidate, rejected: Candidate | None
) -> Generator[Ask, Reply, tuple[Reply, Reply]]:
    """The textual loss and the textual gradient."""
    loss = yield Ask(prompts.render("loss", query, chosen=chosen, rejected=rejected))
    gradient = yield Ask(prompts.render("gradient", query, chosen=chosen, rejected=rejected, loss=loss))
    return loss, gradient
