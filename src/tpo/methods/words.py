"""Words: the reward's own words as the textual gradient, without a critic call (RefineBench, arXiv 2511.22173).

The conversation continues: the best answer stands as the assistant's turn, and what it failed is the next message.
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


@method(templates=Path(__file__).parent / "templates" / "words", paper="arXiv 2511.22173 (RefineBench)")
def words(
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
    """Show the best answer with the reward's words on what it fails, and sample again; no critic is called.

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
        chosen, failed = pool.chosen, unmet(pool.chosen)
        if drawn.enough or not failed:
            return Outcome(chosen, "enough")
        if step and drawn.repeated:
            return Outcome(chosen, "converged")
        answered = [*query, {"role": "assistant", "content": chosen.text}]
        prompt = prompts.render("words", answered, role="policy", chosen=chosen, failed=failed)
    return Outcome(pool.chosen, "depth")
