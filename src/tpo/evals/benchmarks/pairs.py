"""For benchmarks that compare two responses: the judge gets both orders, at once."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from tpo.evals.benchmarks.protocol import JudgeModel
from tpo.messages import Conversation

# In a row's metadata: the answer that a response is compared with.
OPPONENT = "opponent"
# The method whose answers these are, where they are not the published baseline's.
AGAINST = "against"
# Why a method has no number against itself.
ITSELF = "is what the others are compared with"


async def both_orders(
    judge: JudgeModel,
    ask: Callable[[str, str], Conversation],
    response: str,
    opponent: str,
    tokens: int,
    logprobs: bool,
) -> tuple[Any, Any]:
    """A judge's verdict on two answers, in both orders, since judges prefer one position.

    Args:
        judge: the judge.
        ask: the question about an answer A and an answer B.
        response: the answer that is graded.
        opponent: the one that it is compared with.
        tokens: most tokens of a reply.
        logprobs: whether the probabilities of tokens are wanted.

    Returns:
        The reply with the response as A, and the one with the response as B.
    """
    orders = (ask(response, opponent), ask(opponent, response))
    first, second = await asyncio.gather(*[judge.ask(one, tokens, logprobs=logprobs) for one in orders])
    return first, second
