"""TPO with textual loss and textual gradient in one reply: two model calls in a row per step instead of three.

Algorithm 1 of the paper (arXiv 2501.12895) asks for them one after the other.
"""

from __future__ import annotations

from tpo.messages import Conversation
from tpo.methods.actions import Ask, Outcome, Sample, Search
from tpo.methods.pool import Pool
from tpo.prompts.prompt_set import PromptSet


def tpo_fused(query: Conversation, *, width: int, depth: int, prompts: PromptSet) -> Search:
    """Contrast the best answer with the worst and turn that into advice at once, sample again with the advice.

    Args:
        query: the conversation to answer.
        width: N, answers per step.
        depth: D, update steps.
        prompts: the wording.
    """
    pool = Pool()
    pool.add((yield Sample(prompts.render("answer", query), width)))
    for _ in range(depth):
        chosen, rejected = pool.chosen, pool.rejected
        critique = yield Ask(prompts.render("fused_loss", query, chosen=chosen, rejected=rejected))
        # A wording that stands by itself shows the gradient alone, hence the reply as both.
        replies = {"loss": critique, "gradient": critique}
        update = prompts.render("fused_update", query, chosen=chosen, rejected=rejected, **replies)
        fresh = pool.add((yield Sample(update, width)))
        if not fresh:
            return Outcome(pool.chosen, "converged")
    return Outcome(pool.chosen, "depth")
