"""Revision: the paper's baseline, which improves the best answer without seeing a worse one (section 5)."""

from __future__ import annotations

from tpo.messages import Conversation
from tpo.methods.actions import Ask, Outcome, Search
from tpo.methods.definition import Price, Wave, method
from tpo.methods.pool import Pool
from tpo.methods.stopping import StopRule, draw
from tpo.prompts.prompt_set import PromptSet


@method(paper="arXiv 2501.12895, section 5")
def revision(
    query: Conversation,
    *,
    width: int,
    depth: int,
    prompts: PromptSet,
    maximum: float | None = None,
    price: Price = 0.0,
    wave: Wave = 0,
) -> Search:
    """Criticise the best answer on its own, turn the critique into advice, sample again with the advice.

    Args:
        query: the conversation to answer.
        width: N, answers per step.
        depth: D, update steps.
        prompts: the wording.
        maximum: the largest reward that there is, where it is known.
        price: the reward that one more answer has to be expected to gain; 0 never stops for lack of gain.
        wave: answers drawn at once, as one number, or wave by wave (`2,5,8`; the last repeats); 0 draws a step's all at
            once.
    """
    pool, rule = Pool(), StopRule(price, maximum)
    drawn = yield from draw(prompts.render("answer", query), width, pool, rule, wave)
    for _ in range(depth):
        if drawn.enough:
            return Outcome(pool.chosen, "enough")
        chosen = pool.chosen
        loss = yield Ask(prompts.render("revision_loss", query, chosen=chosen))
        gradient = yield Ask(prompts.render("revision_gradient", query, chosen=chosen, loss=loss))
        update = prompts.render("revision_update", query, chosen=chosen, loss=loss, gradient=gradient)
        drawn = yield from draw(update, width, pool, rule, wave)
        if drawn.repeated:
            return Outcome(pool.chosen, "converged")
    return Outcome(pool.chosen, "enough" if drawn.enough else "depth")
