"""A tournament of lists: several answers at once, ranked by the judge, in several orders."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import combinations
from typing import NamedTuple

from tpo.errors import InputError
from tpo.messages import Conversation
from tpo.rewards.cache import Memory
from tpo.rewards.judges.bradley_terry import ranking, strengths
from tpo.rewards.judges.client import JudgeClient
from tpo.rewards.judges.judge import REMEMBERED, JudgeReward, key_of, one_pool
from tpo.rewards.judges.schedule import lists
from tpo.rewards.judges.verdicts import read_ranking
from tpo.rewards.judges.wording import Wording
from tpo.rewards.protocol import Score
from tpo.scheduling.concurrency import together

# Without "I", the pronoun.
LETTERS = "ABCDEFGHJKLMNOPQRSTUVWXYZ"


class Ranked(NamedTuple):
    """One list.

    Attributes:
        order: who the judge ranked, best first; those that it left out are left out.
        problem: why there is no ranking.
    """

    order: list[int]
    problem: str | None = None


class ListwiseJudge(JudgeReward):
    """Has lists of answers ranked, and fits strengths to the rankings (Plackett–Luce, 1975).

    What stands where in a list sways judges (arXiv 2309.15088, 2310.07712), so that every list is also shown the other
    way round.

    Args:
        url: an OpenAI-compatible API; its key is in `TPO_JUDGE_API_KEY` or `TPO_API_KEY`.
        model: the model's name there; found by itself where one is served.
        rubric: a file that describes a good answer.
        templates: a folder with templates that replace the default wording.
        size: most answers in one list.
        rounds: how often each answer is shown; with an even number, in both directions equally often.
        max_tokens: most tokens of a reply, thinking included; by itself enough for the letters.
        parallel: most calls in flight.

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
        size: int = 8,
        rounds: int = 4,
        max_tokens: int | None = None,
        parallel: int | None = None,
    ) -> None:
        if not 2 <= size <= len(LETTERS):
            raise InputError(f"size={size}: a list has 2 to {len(LETTERS)} answers.")
        if rounds < 1:
            raise InputError(f"rounds={rounds}: each answer is shown at least once.")
        self.size, self.rounds = size, rounds
        super().__init__(
            "listwise",
            JudgeClient(url, model, parallel=parallel, logprobs=False),
            Wording("listwise", None, rubric, templates),
            # A letter, a sign and two spaces each, and something around them.
            4 * size + 16 if max_tokens is None else max_tokens,
            size=size,
            rounds=rounds,
        )
        self._known: Memory[Ranked] = Memory(REMEMBERED)

    async def score(self, conversations: Sequence[Conversation]) -> list[Score]:
        """Hold a tournament.

        Returns:
            A score for each conversation. Its value is a log-strength: 0 is average, and the difference of two is
            the log-odds that the one is ranked above the other. Its parts are `lists`, the rankings that it has a
            place in; `beaten`, the mean share of the others in a list that it was ranked above; and `agreement`, of
            the others that several lists ranked it with, the share that was always on the same side of it. NaN, with
            the reason as feedback, where no list ranked it.

        Raises:
            RewardError: the server refuses, or answers no completion; or the queries differ.
            RewardUnavailable: it may answer later. Earlier rankings are kept.
        """
        if not conversations:
            return []
        query, answers = one_pool(conversations)
        texts = list(dict.fromkeys(answers))
        shown = lists(texts, self.size, self.rounds) if len(texts) > 1 else []
        ranked = await together(self._ranked(query, texts, one) for one in shown)
        by_text = dict(zip(texts, scores_of(len(texts), shown, ranked), strict=True))
        return [by_text[answer] for answer in answers]

    async def _ranked(self, query: Conversation, texts: Sequence[str], shown: Sequence[int]) -> Ranked:
        given = [texts[i] for i in shown]
        known = key_of(query, *given)
        if known not in self._known:
            # Places in this list: who stands where in the pool may change.
            self._known[known] = await self._list(query, given)
        places, problem = self._known[known]
        return Ranked([shown[place] for place in places], problem)

    async def _list(self, query: Conversation, texts: Sequence[str]) -> Ranked:
        if len(texts) < 2:
            return Ranked([])
        letters = LETTERS[: len(texts)]
        answers = [{"label": letter, "text": text} for letter, text in zip(letters, texts, strict=True)]
        reply = await self._call(query, answers=answers)
        order = [letters.index(letter) for letter in read_ranking(reply.text, letters)]
        return Ranked(order) if len(order) > 1 else Ranked([], reply.unread("the judge gave no ranking"))


def scores_of(count: int, shown: Sequence[Sequence[int]], ranked: Sequence[Ranked]) -> list[Score]:
    """The scores of a tournament.

    Args:
        count: how many took part.
        shown: the lists.
        ranked: the ranking of each list.
    """
    orders = [one.order for one in ranked if one.order]
    values = strengths(count, [choice for order in orders for choice in ranking(order)])
    above: dict[tuple[int, int], list[bool]] = {}
    for order in orders:
        for better, worse in combinations(order, 2):
            above.setdefault((better, worse), []).append(True)
            above.setdefault((worse, better), []).append(False)
    scores = []
    for one in range(count):
        mine = [order for order in orders if one in order]
        if not mine and shown:
            problems = (one_list.problem for given, one_list in zip(shown, ranked, strict=True) if one in given)
            problem = next((problem for problem in problems if problem), "the judge left it out of every ranking")
            scores.append(Score(math.nan, {"lists": 0.0}, problem))
            continue
        parts = {"lists": float(len(mine))}
        if mine:
            parts["beaten"] = math.fsum(1 - order.index(one) / (len(order) - 1) for order in mine) / len(mine)
        again = [wins for (who, _), wins in above.items() if who == one and len(wins) > 1]
        if again:
            parts["agreement"] = sum(len(set(wins)) == 1 for wins in again) / len(again)
        scores.append(Score(values[one], parts))
    return scores
