"""What the three kinds of judge share: their names, and one call of the model."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence

import msgspec

from tpo.errors import InputError, RewardError
from tpo.messages import Conversation, text_of
from tpo.models.fleet import ServerLimits
from tpo.models.protocol import Usage
from tpo.prompts.extract import without_reasoning
from tpo.rewards.judges.client import DoesNotFit, JudgeClient
from tpo.rewards.judges.tokens import Token
from tpo.rewards.judges.wording import Wording

# Verdicts that a judge keeps, so that a growing pool pays only for what is new: a few hundred bytes each.
REMEMBERED = 50_000


def key_of(query: Conversation, *texts: str) -> bytes:
    """What identifies a verdict: the query, and the texts in the order in which the judge saw them."""
    return hashlib.sha256(msgspec.json.encode([query, *texts])).digest()


class JudgeReply:
    """A judge's reply, without its thinking.

    Args:
        text: the reply.
        tokens: its tokens; empty where the server gives none.
        problem: why there is nothing to read, if so.
    """

    def __init__(self, text: str, tokens: Sequence[Token] = (), problem: str | None = None) -> None:
        self.text = text
        self.tokens = tokens
        self.problem = problem

    def unread(self, problem: str) -> str:
        """The problem, with what there was to read."""
        if self.problem is not None:
            return self.problem
        shown = " ".join(self.text.split())
        return f"{problem}; it replied {shown[:120]!r}" if shown else f"{problem}; its reply is empty"


class JudgeReward:
    """A language model that grades or ranks answers.

    Args:
        kind: pointwise, pairwise or listwise.
        client: which model, and where.
        wording: its prompt.
        max_tokens: most tokens of a reply, thinking included.
        one_of: the only replies that are allowed, where the server can see to that; empty for any.
        options: what else decides the score, by name; None and False are left out of the name.
    """

    def __init__(
        self,
        kind: str,
        client: JudgeClient,
        wording: Wording,
        max_tokens: int,
        *,
        one_of: Iterable[str] = (),
        **options: object,
    ) -> None:
        if max_tokens < 1:
            raise InputError(f"max_tokens={max_tokens}: a judge needs at least one token for its reply.")
        self.kind = kind
        self.client = client
        self.wording = wording
        self.max_tokens = max_tokens
        self._one_of = tuple(one_of)
        given = {"kind": kind, "max_tokens": max_tokens, "wording": wording.digest, **options}
        given["constrain"] = bool(self._one_of)
        self._options = {name: value for name, value in given.items() if value is not None and value is not False}

    @property
    def name(self) -> str:
        """Model, address without secrets, and all that changes the score.

        It is final after `connect`: until then, a model that was not named is missing.
        """
        title = f"judge:{self.client.model}" if self.client.model else "judge"
        options = "&".join(f"{name}={str(value).lower()}" for name, value in sorted(self._options.items()))
        return f"{title}@{self.client.where}?{options}"

    @property
    def usage(self) -> Usage:
        """Tokens that the judge has spent so far."""
        return self.client.usage

    async def connect(self) -> None:
        """Find out what the server serves, once; the first score does it if nothing else did.

        Raises:
            InputError: several models are served, so that one must be named.
            RewardError: the server cannot be reached, refuses, or serves no model.
        """
        await self.client.connect()

    def share_limits(self, limits: ServerLimits) -> None:
        """Keep to the limits of other models on the same machine; a judge with `parallel` keeps to that alone."""
        self.client.limits = limits

    async def aclose(self) -> None:
        """Close the connections; a later call opens new ones."""
        await self.client.aclose()

    async def _call(self, query: Conversation, **values: object) -> JudgeReply:
        """Call the judge; see `call_judge`."""
        messages = self.wording.messages(query, **values)
        return await call_judge(self.client, messages, self.max_tokens, one_of=self._one_of)


async def call_judge(
    client: JudgeClient,
    messages: Conversation,
    max_tokens: int,
    *,
    logprobs: bool = True,
    one_of: tuple[str, ...] = (),
) -> JudgeReply:
    """Call a judge. A prompt that does not fit its context gives a reply with a problem, and no error.

    Args:
        client: which model, and where.
        messages: the prompt.
        max_tokens: most tokens of its reply, thinking included.
        logprobs: whether the probabilities of tokens are wanted.
        one_of: the only replies that are allowed, where the server can see to that; empty for any.
    """
    try:
        reply = await client.ask(messages, max_tokens, logprobs=logprobs, one_of=one_of)
    except DoesNotFit as error:
        return JudgeReply("", problem=str(error))
    text = without_reasoning(reply.text).strip()
    if reply.cut and not text:
        return JudgeReply("", problem=f"all of the judge's {max_tokens} tokens went into thinking; raise max_tokens")
    return JudgeReply(text, reply.tokens)


def one_pool(conversations: Sequence[Conversation]) -> tuple[Conversation, list[str]]:
    """The query of conversations that differ only in their answers, and the answers.

    Raises:
        RewardError: they differ in more.
    """
    query = conversations[0][:-1]
    if any(other[:-1] != query for other in conversations[1:]):
        raise RewardError("The reward compares answers to one query with each other, and these answer different ones.")
    return query, [text_of(conversation[-1]) for conversation in conversations]
