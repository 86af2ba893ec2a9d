"""Test-Time Preference Optimization: Algorithm 1 of the paper (arXiv 2501.12895, section 4)."""

from __future__ import annotations

from tpo.messages import Conversation
from tpo.methods.actions import Ask, Outcome, Sample, Search
from tpo.methods.pool import Pool
from tpo.prompts.prompt_set import PromptSet


def tpo(query: Conversation, *, width: int, depth: int, prompts: PromptSet) -> Search:
    """Contrast the best answer with the worst, turn the contrast into advice, sample again with the advice.

    Args:
        query: the conversation to answer.
        width: N, answers per step.
        depth: D, update steps; 0 is exactly Best-of-N.
        prompts: the wording.
    """
    pool = Pool()
    pool.add((yield Sample(prompts.render("answer", query), width)))
    for _ in range(depth):
        chosen, rejected = pool.chosen, pool.rejected
        loss = yield Ask(prompts.render("loss", query, chosen=chosen, rejected=rejected))
        gradient = yield Ask(prompts.render("gradient", query, chosen=chosen, rejected=rejected, loss=loss))
        update = prompts.render("update", query, chosen=chosen, rejected=rejected, loss=loss, gradient=gradient)
        fresh = pool.add((yield Sample(update, width)))
        if not fresh:
            # Only known answers came back: the next step would ask the same again.
            return Outcome(pool.chosen, "converged")
    return Outcome(pool.chosen, "depth")
