"""A tournament of pairs: which of two answers is better, in both orders."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from tpo.errors import InputError
from tpo.messages import Conversation
from tpo.rewards.cache import Memory
from tpo.rewards.judges.bradley_terry import match, strengths
from tpo.rewards.judges.client import JudgeClient
from tpo.rewards.judges.judge import REMEMBERED, JudgeReply, JudgeReward, key_of, one_pool
from tpo.rewards.judges.labels import expected, place_of
from tpo.rewards.judges.schedule import pairs
from tpo.rewards.judges.verdicts import VERDICTS, read_verdict
from tpo.rewards.judges.wording import Wording
from tpo.rewards.protocol import Score
from tpo.scheduling.concurrency import together

VERDICT_TOKENS = 8
VERDICT_LABELS = ("A", "B", "tie")


class Game(NamedTuple):
    """One comparison.

    Attributes:
        won: how far the answer shown first was preferred, 0 to 1; None where the judge gave no verdict.
        problem: why it gave none.
    """

    won: float | None
    problem: str | None = None


class PairwiseJudge(JudgeReward):
    """Compares answers two by two, in both orders, and fits strengths to the verdicts (Bradley–Terry, 1952).

    Judges prefer what is shown in one place (arXiv 2305.17926, 2306.05685), which both orders together cancel.

    Args:
        url: an OpenAI-compatible API; its key is in `TPO_JUDGE_API_KEY` or `TPO_API_KEY`.
        model: the model's name there; found by itself where one is served.
        rubric: a file that describes a good answer.
        templates: a folder with templates that replace the default wording.
        opponents: with how many others each answer is compared; with all, where there are no more.
        max_tokens: most tokens of a reply, thinking included.
        parallel: most calls in flight.
        logprobs: whether to make use of the probabilities of tokens.
        constrain: let the server allow no reply but a verdict (vLLM, SGLang, llama.cpp); a model cannot think then.

    Raises:
        InputError: an argument cannot be used.
        PromptError: a template cannot.
    """

    relative = True

    def __init__(
        self,
        url: str,
        *,
        model: str | None = None,
        rubric: str | None = None,
        templates: str | None = None,
        opponents: int = 6,
        max_tokens: int = VERDICT_TOKENS,
        parallel: int | None = None,
        logprobs: bool = True,
        constrain: bool = False,
    ) -> None:
        if opponents < 2:
            raise InputError(f"opponents={opponents}: with fewer than 2 the answers fall apart into groups.")
        self.opponents = opponents
        super().__init__(
            "pairwise",
            JudgeClient(url, model, parallel=parallel, logprobs=logprobs),
            Wording("pairwise", None, rubric, templates),
            max_tokens,
            one_of=VERDICT_LABELS if constrain else (),
            opponents=opponents,
            logprobs=None if logprobs else "false",
        )
        self._known: Memory[Game] = Memory(REMEMBERED)

    async def score(self, conversations: Sequence[Conversation]) -> list[Score]:
        """Hold a tournament.

        Returns:
            A score for each conversation. Its value is a log-strength: 0 is average, and the difference of two is
            the log-odds that the one is preferred. Its parts are `games`, the comparisons with a verdict; `wins`, how
            many of them it won, in fractions where the judge was in doubt; and `agreement`, from 0 to 1, how far
            verdicts stayed when the order was swapped. NaN, with the reason as feedback, where no comparison had a
            verdict.

        Raises:
            RewardError: the server refuses, or answers no completion; or the queries differ.
            RewardUnavailable: it may answer later. Earlier verdicts are kept.
        """
        if not conversations:
            return []
        query, answers = one_pool(conversations)
        texts = list(dict.fromkeys(answers))
        met = pairs(texts, self.opponents)
        orders = [order for one, two in met for order in ((one, two), (two, one))]
        games = await together(self._game(query, texts[first], texts[second]) for first, second in orders)
        scores = scores_of(len(texts), dict(zip(orders, games, strict=True)))
        by_text = dict(zip(texts, scores, strict=True))
        return [by_text[answer] for answer in answers]

    async def _game(self, query: Conversation, first: str, second: str) -> Game:
        known = key_of(query, first, second)
        if known not in self._known:
            self._known[known] = game_of(await self._call(query, answer_a=first, answer_b=second))
        return self._known[known]


def game_of(reply: JudgeReply) -> Game:
    """How far a judge preferred the answer shown first: by its tokens' probabilities where it gives any, else by its
    word."""
    verdict = read_verdict(reply.text)
    if reply.tokens and (verdict.value is None or verdict.start is not None):
        place = place_of(reply.text, verdict.start or 0, reply.tokens)
        reading = None if place is None else expected(reply.tokens, place, VERDICTS, verdict.value)
        if reading is not None:
            return Game(reading.value)
    if verdict.value is None:
        return Game(None, reply.unread("the judge gave no verdict"))
    return Game(verdict.value)


def scores_of(count: int, games: Mapping[tuple[int, int], Game]) -> list[Score]:
    """The scores of a tournament.

    Args:
        count: how many took part.
        games: by who was shown first and who second; each pair in both orders.
    """
    shares = {order: game.won for order, game in games.items() if game.won is not None}
    values = strengths(count, [choice for order, won in shares.items() for choice in match(*order, won)])
    return [_score(one, values[one], shares, games) for one in range(count)]


def _score(
    one: int, value: float, shares: Mapping[tuple[int, int], float], games: Mapping[tuple[int, int], Game]
) -> Score:
    won = [won if first == one else 1.0 - won for (first, second), won in shares.items() if one in (first, second)]
    if not won and games:
        problem = next((game.problem for order, game in games.items() if one in order and game.problem), None)
        return Score(math.nan, {"games": 0.0}, problem)
    parts = {"wins": math.fsum(won), "games": float(len(won))}
    # A judge that sees only the order gives both orders the same verdict, which means opposite winners.
    same = [
        1.0 - abs(shares[order] + shares[order[::-1]] - 1.0)
        for order in shares
        if order[0] == one and order[::-1] in shares
    ]
    if same:
        parts["agreement"] = math.fsum(same) / len(same)
    return Score(value, parts)
