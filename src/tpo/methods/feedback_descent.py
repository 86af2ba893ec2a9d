"""Feedback descent (arXiv 2511.07919): a champion, its challengers, and what each of them lacked.

The reward decides which answer wins; a critic explains what would have made the loser better. The editor sees the
champion and every failed try with that advice, and a win empties the list.
"""

from __future__ import annotations

from pathlib import Path

from tpo.messages import Conversation
from tpo.methods.actions import Ask, Outcome, Sample, Search
from tpo.methods.definition import Price, method
from tpo.methods.pool import Pool
from tpo.methods.stopping import StopRule
from tpo.prompts.prompt_set import PromptSet


@method(templates=Path(__file__).parent / "templates" / "feedback_descent", paper="arXiv 2511.07919")
def feedback_descent(
    query: Conversation,
    *,
    width: int,
    depth: int,
    prompts: PromptSet,
    maximum: float | None = None,
    price: Price = 0.0,
) -> Search:
    """Rewrite the best answer once a step, with the advice that every failed try since the last win was given.

    Args:
        query: the conversation to answer.
        width: N, first answers.
        depth: D, challengers.
        prompts: the wording.
        maximum: the largest reward that there is, where it is known.
        price: the reward that one more answer has to be expected to gain; 0 never stops for lack of gain.
    """
    pool, rule = Pool(), StopRule(price, maximum)
    pool.add((yield Sample(prompts.render("answer", query), width)))
    tries: list[dict[str, object]] = []
    for step in range(depth):
        champion = pool.chosen
        if rule.enough(pool):
            return Outcome(champion, "enough")
        fresh = pool.add((yield Sample(prompts.render("edit", query, chosen=champion, tries=tries), 1)))
        if pool.chosen.id != champion.id:
            tries = []
        elif fresh and step + 1 < depth:
            prompt = prompts.render("advise", query, role="critic", chosen=champion, rejected=fresh[0])
            advice = yield Ask(prompt)
            tries.append({"text": fresh[0], "advice": advice})
    return Outcome(pool.chosen, "depth")
