"""Revision: the paper's baseline, which improves the best answer without seeing a worse one (section 5)."""

from __future__ import annotations

from tpo.messages import Conversation
from tpo.methods.actions import Ask, Outcome, Sample, Search
from tpo.methods.pool import Pool
from tpo.prompts.prompt_set import PromptSet


def revision(query: Conversation, *, width: int, depth: int, prompts: PromptSet) -> Search:
    """Criticise the best answer on its own, turn the critique into advice, sample again with the advice.

    Args:
        query: the conversation to answer.
        width: N, answers per step.
        depth: D, update steps.
        prompts: the wording.
    """
    pool = Pool()
    pool.add((yield Sample(prompts.render("answer", query), width)))
    for _ in range(depth):
        chosen = pool.chosen
        loss = yield Ask(prompts.render("revision_loss", query, chosen=chosen))
        gradient = yield Ask(prompts.render("revision_gradient", query, chosen=chosen, loss=loss))
        update = prompts.render("revision_update", query, chosen=chosen, loss=loss, gradient=gradient)
        fresh = pool.add((yield Sample(update, width)))
        if not fresh:
            return Outcome(pool.chosen, "converged")
    return Outcome(pool.chosen, "depth")
