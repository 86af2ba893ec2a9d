"""Test-Time Preference Optimization: Algorithm 1 of the paper (arXiv 2501.12895, section 4)."""

from __future__ import annotations

from tpo.messages import Conversation
from tpo.methods.actions import Ask, Outcome, Search
from tpo.methods.definition import method
from tpo.methods.pool import Pool
from tpo.methods.stopping import StopRule, draw
from tpo.prompts.prompt_set import PromptSet


@method(paper="arXiv 2501.12895 (TPO)")
def tpo(
    query: Conversation,
    *,
    width: int,
    depth: int,
    prompts: PromptSet,
    maximum: float | None = None,
    price: float = 0.0,
    wave: int = 0,
) -> Search:
    """Contrast the best answer with the worst, turn the contrast into advice, sample again with the advice.

    Args:
        query: the conversation to answer.
        width: N, answers per step.
        depth: D, update steps; 0 is exactly Best-of-N.
        prompts: the wording.
        maximum: the largest reward that there is, where it is known.
        price: the reward that one more answer has to be expected to gain; 0 never stops for lack of gain.
        wave: answers drawn at once; 0 draws a step's all at once.
    """
    pool, rule = Pool(), StopRule(price, maximum)
    drawn = yield from draw(prompts.render("answer", query), width, pool, rule, wave)
    for _ in range(depth):
        if drawn.enough:
            return Outcome(pool.chosen, "enough")
        chosen, rejected = pool.chosen, pool.rejected
        loss = yield Ask(prompts.render("loss", query, chosen=chosen, rejected=rejected))
        gradient = yield Ask(prompts.render("gradient", query, chosen=chosen, rejected=rejected, loss=loss))
        update = prompts.render("update", query, chosen=chosen, rejected=rejected, loss=loss, gradient=gradient)
        drawn = yield from draw(update, width, pool, rule, wave)
        if drawn.repeated:
            # Only known answers came back: the next step would ask the same again.
            return Outcome(pool.chosen, "converged")
    return Outcome(pool.chosen, "enough" if drawn.enough else "depth")
