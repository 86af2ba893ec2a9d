"""One plain answer: the policy alone, the baseline of every method."""

from __future__ import annotations

from tpo.messages import Conversation
from tpo.methods.actions import Outcome, Sample, Search
from tpo.methods.pool import Pool
from tpo.prompts.prompt_set import PromptSet


def sample(query: Conversation, *, prompts: PromptSet) -> Search:
    """Return one answer; no reward is needed.

    Args:
        query: the conversation to answer.
        prompts: the wording.
    """
    pool = Pool()
    pool.add((yield Sample(prompts.render("answer", query), 1)))
    return Outcome(pool.chosen, "depth")
