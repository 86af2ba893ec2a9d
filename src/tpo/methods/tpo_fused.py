"""TPO with textual loss and textual gradient in one reply: two model calls in a row per step instead of three.

Algorithm 1 of the paper (arXiv 2501.12895) asks for them one after the other.
"""

from __future__ import annotations

from tpo.messages import Conversation
from tpo.methods.actions import Ask, Outcome, Search
from tpo.methods.definition import Price, Wave, method
from tpo.methods.pool import Pool
from tpo.methods.stopping import StopRule, draw
from tpo.prompts.prompt_set import PromptSet


@method(paper="arXiv 2501.12895 (TPO), with two of its calls made one")
def tpo_fused(
    query: Conversation,
    *,
    width: int,
    depth: int,
    prompts: PromptSet,
    maximum: float | None = None,
    price: Price = 0.0,
    wave: Wave = 0,
) -> Search:
    """Contrast the best answer with the worst and turn that into advice at once, sample again with the advice.

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
        chosen, rejected = pool.chosen, pool.rejected
        critique = yield Ask(prompts.render("fused_loss", query, chosen=chosen, rejected=rejected))
        # A wording that stands by itself shows the gradient alone, hence the reply as both.
        replies = {"loss": critique, "gradient": critique}
        update = prompts.render("fused_update", query, chosen=chosen, rejected=rejected, **replies)
        drawn = yield from draw(update, width, pool, rule, wave)
        if drawn.repeated:
            return Outcome(pool.chosen, "converged")
    return Outcome(pool.chosen, "enough" if drawn.enough else "depth")
