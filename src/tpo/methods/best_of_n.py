"""Best-of-N: sample N answers and keep the one with the highest reward (Stiennon et al., arXiv 2009.01325)."""

from __future__ import annotations

from tpo.messages import Conversation
from tpo.methods.actions import Outcome, Search
from tpo.methods.definition import Price, Wave, method
from tpo.methods.pool import Pool
from tpo.methods.stopping import StopRule, draw
from tpo.prompts.prompt_set import PromptSet


@method(paper="arXiv 2009.01325")
def best_of_n(
    query: Conversation,
    *,
    width: int,
    prompts: PromptSet,
    maximum: float | None = None,
    price: Price = 0.0,
    wave: Wave = 0,
) -> Search:
    """Return the best of `width` answers.

    Args:
        query: the conversation to answer.
        width: N, how many answers to draw.
        prompts: the wording.
        maximum: the largest reward that there is, where it is known.
        price: the reward that one more answer has to be expected to gain; 0 never stops for lack of gain.
        wave: answers drawn at once, as one number, or wave by wave (`2,5,8`; the last repeats); 0 draws all at once,
            and so leaves nothing to stop.
    """
    pool = Pool()
    drawn = yield from draw(prompts.render("answer", query), width, pool, StopRule(price, maximum), wave)
    return Outcome(pool.chosen, "enough" if drawn.enough else "depth")
