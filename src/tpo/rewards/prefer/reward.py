"""`prefer:FILE`: a model goes through a checklist, item by item, and what fails is the feedback."""

from __future__ import annotations

import asyncio
import math
import re
from collections.abc import Sequence
from pathlib import Path
from statistics import pvariance
from typing import Literal, NamedTuple

from tpo.errors import InputError, RewardError
from tpo.messages import Conversation, question, text_of
from tpo.models.fleet import ServerLimits
from tpo.models.resolve import EMBEDDED, is_local, local_file
from tpo.models.weights import cache
from tpo.rewards.judges.client import JudgeClient
from tpo.rewards.judges.judge import REMEMBERED, JudgeReply, call_judge, key_of, one_pool
from tpo.rewards.judges.labels import expected, place_of
from tpo.rewards.prefer.checklist import (
    UNIVERSAL,
    ChecklistFile,
    digest_of,
    read_checklist,
    sentences_of,
    writing_prompt,
)
from tpo.rewards.prefer.preference import read_preference
from tpo.rewards.protocol import Score
from tpo.scheduling.concurrency import together

# Tokens of a yes or no with some markup, and of a checklist.
ITEM_TOKENS, LIST_TOKENS = 8, 600
_SPOKEN = re.compile(r"\b(yes|no)\b", re.IGNORECASE)
_LABELS = {word: value for said, value in (("yes", 1.0), ("no", 0.0)) for word in (said, said.title(), said.upper())}
# An item below this is missing.
KEPT = 0.5


class ItemScore(NamedTuple):
    """What a judge replied to an item.

    Attributes:
        value: the probability of yes; None where the reply cannot be read.
        problem: why it cannot be read, in words.
    """

    value: float | None
    problem: str | None = None


class PreferReward:
    """Scores an answer by the share of a checklist's items that it fulfils.

    With the weights "variance" the answers to a query are scored together: each item's weight is multiplied by its
    variance over them, so that an item with the same verdict for all of them does not count. The idea is DIVA's (ACL
    2026), its exact formula we have not seen. Where nothing varies, the weights alone count.

    Args:
        path: the preference, as `read_preference` takes it.
        judge: who writes the checklist and goes through it: a URL, `embedded`, `gguf:PATH` or `hub:ORG/REPO`.
        model: the model's name there; found by itself where one is served.
        max_tokens: most tokens of the reply to an item; more for a judge that thinks.
        universal: add the item whether the answer does what was requested, without padding.
        logprobs: whether to make use of the probabilities of tokens.
        constrain: let the server allow no reply but yes or no (vLLM, SGLang, llama.cpp); a model cannot think then.
        weights: whether the weights that the preference gives are all, or items that tell a query's answers apart
            count more.

    Attributes:
        preference: what was read.
        items: the checklist; empty before `connect`.
        relative: whether the score of an answer depends on the others to its query.
        maximum: the largest score that there is; None where a better one may show what all answers so far fail.

    Raises:
        InputError: the file or the judge cannot be used.
    """

    def __init__(
        self,
        path: str,
        *,
        judge: str = EMBEDDED,
        model: str | None = None,
        max_tokens: int = ITEM_TOKENS,
        universal: bool = True,
        logprobs: bool = True,
        constrain: bool = False,
        weights: Literal["written", "variance"] = "written",
    ) -> None:
        if max_tokens < 1:
            raise InputError(f"max_tokens={max_tokens}: a judge needs at least one token for its reply.")
        self.preference = read_preference(Path(path))
        self.items: list[str] = []
        self._judge, self._model, self._logprobs = judge, model, logprobs
        self._max_tokens, self._universal = max_tokens, universal
        self._one_of = ("yes", "no") if constrain else ()
        self._weights = self.preference.weights
        self.relative = weights == "variance"
        self.maximum = None if self.relative else 1.0
        self._client = JudgeClient(judge, model, logprobs=logprobs) if "://" in judge else None
        self._limits: ServerLimits | None = None
        self._connecting = asyncio.Lock()
        self._known: dict[bytes, ItemScore] = {}

    @property
    def name(self) -> str:
        """The judge and the checklist; final after `connect`."""
        judge = (self._client.model if self._client is not None else None) or self._judge.partition("?")[0]
        options = f"max_tokens={self._max_tokens}" + ("" if self._logprobs else "&logprobs=false")
        options += "&constrain=true" if self._one_of else ""
        options += "&weights=variance" if self.relative else ""
        return f"prefer:{self.preference.digest}@{judge}?items={digest_of(self.items)}&{options}"

    def share_limits(self, limits: ServerLimits) -> None:
        """Keep to the limits of other models on the same machine."""
        self._limits = limits
        if self._client is not None:
            self._client.limits = limits

    async def connect(self) -> None:
        """Find out what the judge is, and have the checklist written, unless an earlier one is kept.

        Raises:
            InputError: the judge cannot be used.
            RewardError: it cannot be reached, or writes no checklist.
        """
        async with self._connecting:
            if self.items:
                return
            client = await self._opened()
            items = list(self._weights)
            if not items:
                kept = ChecklistFile(cache(), self.preference, f"{client.model}@{self._max_tokens}")
                items = kept.read() or await self._written(client)
                kept.write(items)
            self.items = [*items, UNIVERSAL] if self._universal and UNIVERSAL not in items else items

    async def aclose(self) -> None:
        """Close the connections."""
        if self._client is not None:
            await self._client.aclose()

    async def score(self, conversations: Sequence[Conversation]) -> list[Score]:
        """Go through the checklist for the last message of each conversation.

        Returns:
            A score for each: the weighted mean over the items of the probability of yes, in [0, 1]; a part for each
            item (`item1`, …); as feedback, which items are missing. An item whose reply cannot be read does not count;
            NaN where none that counts can be read.

        Raises:
            RewardError: the judge refuses, or cannot be reached; or the scores depend on the other answers, and the
                queries differ.
        """
        if self.relative and conversations:
            one_pool(conversations)
        await self.connect()
        table = await together([self.item_scores(conversation) for conversation in conversations])
        weights = [self._weights.get(item, 1.0) for item in self.items]
        if self.relative and any(variances := variances_of([[item.value for item in row] for row in table])):
            weights = [weight * variance for weight, variance in zip(weights, variances, strict=True)]
        return [self._scored(row, weights) for row in table]

    async def item_scores(self, conversation: Conversation) -> list[ItemScore]:
        """What the judge replied to each item about one answer."""
        return await together([self._item(conversation, item) for item in self.items])

    def _scored(self, row: Sequence[ItemScore], weights: Sequence[float]) -> Score:
        read = {number: item.value for number, item in enumerate(row) if item.value is not None}
        parts = {f"item{number + 1}": value for number, value in read.items()}
        total = math.fsum(weights[number] for number in read)
        if not total:
            which = "no item of the checklist" if not read else "no item that tells these answers apart"
            why = next((f": {item.problem}" for item in row if item.problem), "") if not read else ""
            return Score(math.nan, parts, f"the judge answered {which} with yes or no{why}")
        value = math.fsum(weights[number] * value for number, value in read.items()) / total
        missing = {f"item{number + 1}": self.items[number] for number, value in read.items() if value < KEPT}
        return Score(value, parts, _words(len(read), list(missing.values())), missing)

    async def _item(self, conversation: Conversation, item: str) -> ItemScore:
        answer = text_of(conversation[-1])
        key = key_of(conversation[:-1], answer, item)
        if key not in self._known:
            if len(self._known) >= REMEMBERED:
                self._known.clear()
            # What all items share comes first, so that the judge's server reads it once.
            text = (
                f"Request:\n{question(conversation[:-1])}\n\nAnswer:\n{answer}\n\nCheck one thing about this answer. "
                f"{item}\nReply with yes or no alone."
            )
            client = await self._opened()
            messages = [{"role": "user", "content": text}]
            reply = await call_judge(client, messages, self._max_tokens, one_of=self._one_of)
            value = yes_of(reply)
            problem = reply.unread("it wrote neither") if value is None else None
            self._known[key] = ItemScore(value, problem)
        return self._known[key]

    async def _written(self, client: JudgeClient) -> list[str]:
        reply = await call_judge(client, writing_prompt(self.preference), LIST_TOKENS, logprobs=False)
        items = read_checklist(reply.text) or sentences_of(self.preference.rubric)
        if not items:
            said = reply.unread("it holds no numbered questions")
            raise RewardError(
                f"The judge {client.model} wrote no checklist ({said}): write the rubric yourself, one line for each "
                f"item, beginning with a dash; or name a larger judge."
            )
        return items

    async def _opened(self) -> JudgeClient:
        if self._client is None:
            from tpo.models import embedded

            if not is_local(self._judge):
                raise InputError(
                    f"judge={self._judge} is not a model: give a URL, {EMBEDDED}, gguf:PATH or hub:ORG/REPO."
                )
            server = await asyncio.to_thread(embedded.start, await local_file(self._judge, lambda line: None))
            self._client = JudgeClient(server.url, server.name, logprobs=self._logprobs, key=server.api_key)
            if self._limits is not None:
                self._client.limits = self._limits
        await self._client.connect()
        return self._client


def variances_of(table: Sequence[Sequence[float | None]]) -> list[float]:
    """For each item the variance of its values over all answers: p(1-p) where a share p gets yes and the others no.

    Args:
        table: for each answer, the value of each item; None where there is none.
    """
    columns = [[value for value in column if value is not None] for column in zip(*table, strict=True)]
    return [pvariance(column) if column else 0.0 for column in columns]


def yes_of(reply: JudgeReply) -> float | None:
    """How much a reply means yes, 0 to 1, by its tokens' probabilities if there are any; None where it is neither."""
    found = _SPOKEN.search(reply.text)
    if reply.problem is not None or found is None:
        return None
    spoken = 1.0 if found[1].lower() == "yes" else 0.0
    place = place_of(reply.text, found.start(), reply.tokens) if reply.tokens else None
    reading = expected(reply.tokens, place, _LABELS, spoken) if place is not None else None
    return spoken if reading is None else reading.value


def _words(total: int, missing: list[str]) -> str:
    if not missing:
        return f"kept all {total} requirements" if total > 1 else "kept the requirement"
    return f"kept {total - len(missing)} of {total} requirements; missing: {'; '.join(missing)}"
