"""Restate: what the best answer failed, put beside the question.

Large models correct a fault that is pointed out to them, but seldom find one themselves (RefineBench, arXiv
2511.22173). The old answer is not shown, which small models would copy, and no critic is called.
"""

from __future__ import annotations

from pathlib import Path

from tpo.messages import Conversation
from tpo.methods.actions import Outcome, Search
from tpo.methods.by_step import WIDTHS, Width, of_step
from tpo.methods.definition import Price, Wave, method
from tpo.methods.pool import Pool
from tpo.methods.stopping import StopRule, draw
from tpo.methods.unmet import unmet
from tpo.prompts.prompt_set import PromptSet


@method(templates=Path(__file__).parent / "templates" / "restate", paper="arXiv 2511.22173 (RefineBench)")
def restate(
    query: Conversation,
    *,
    width: int,
    depth: int,
    prompts: PromptSet,
    maximum: float | None = None,
    price: Price = 0.0,
    wave: Wave = 0,
    widths: list[Width] = WIDTHS,
) -> Search:
    """Put what the best answer failed beside the question, and sample again; no answer is shown, no critic is called.

    Args:
        query: the conversation to answer.
        width: N, answers per step.
        depth: D, further steps.
        prompts: the wording.
        maximum: the largest reward that there is, where it is known.
        price: the reward that one more answer has to be expected to gain; 0 never stops for lack of gain.
        wave: answers drawn at once, as one number, or wave by wave (`2,5,8`; the last repeats); 0 draws a step's all at
            once.
        widths: answers of each step from the first, the last counting for all later ones; `width` unless given.
    """
    pool, rule = Pool(), StopRule(price, maximum)
    prompt = prompts.render("answer", query)
    for step in range(depth + 1):
        drawn = yield from draw(prompt, of_step(widths, step, width), pool, rule, wave)
        failed = unmet(pool.chosen)
        if drawn.enough or not failed:
            return Outcome(pool.chosen, "enough")
        if step and drawn.repeated:
            return Outcome(pool.chosen, "converged")
        prompt = prompts.render("restate", query, role="policy", chosen=pool.chosen, failed=failed)
    return Outcome(pool.chosen, "depth")
