"""Best-of-N: sample N answers and keep the one with the highest reward (Stiennon et al., arXiv 2009.01325)."""

from __future__ import annotations

from tpo.messages import Conversation
from tpo.methods.actions import Outcome, Sample, Search
from tpo.methods.pool import Pool
from tpo.prompts.prompt_set import PromptSet


def best_of_n(query: Conversation, *, width: int, prompts: PromptSet) -> Search:
    """Return the best of `width` answers.

    Args:
        query: the conversation to answer.
        width: N, how many answers to draw.
        prompts: the wording.
    """
    pool = Pool()
    pool.add((yield Sample(prompts.render("answer", query), width)))
    return Outcome(pool.chosen, "depth")
