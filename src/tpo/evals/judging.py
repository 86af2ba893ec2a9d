"""A judge for benchmarks: any OpenAI-compatible model, each question is sent once and its reply kept in a file.

A judgement is in the file before it is used, so that an evaluation which is killed pays for none twice. The file is
JSON Lines, a judgement a line, known by a hash of the model's name and the question.
"""

from __future__ import annotations

import asyncio
import hashlib
from contextlib import AsyncExitStack
from pathlib import Path

import msgspec

from tpo.engine.log import Log
from tpo.errors import InputError, JournalError
from tpo.messages import Conversation
from tpo.models.protocol import Usage
from tpo.models.resolve import EMBEDDED, is_local, local_file
from tpo.rewards.call import accounted
from tpo.rewards.judges.client import JudgeClient
from tpo.rewards.judges.judge import JudgeReply, call_judge
from tpo.rewards.judges.tokens import Token
from tpo.runs.store import cut_torn_end
from tpo.session.backends import Note


class Judgement(msgspec.Struct, frozen=True):
    """A line of the file.

    Attributes:
        key: a hash of the model's name, the messages, and how the reply was requested.
        model: who judged.
        text: the reply, without thinking.
        tokens: its tokens with their probabilities, where they were requested.
        problem: why there is no reply.
        usage: what it cost.
    """

    key: str
    model: str
    text: str
    tokens: list[Token] = []
    problem: str | None = None
    usage: Usage = msgspec.field(default_factory=Usage)


class Judging:
    """Sends questions to a judge, each once: known judgements are read from the file.

    Args:
        client: which model, and where; it is connected.
        path: the file of judgements.
        most: most tokens of a reply, where the benchmarks would allow for more.

    Attributes:
        name: the judge's model.
        used: judgements that were used, those of earlier processes included.
        paid: how many of these this process paid for.
        usage: what all that were used cost.

    Raises:
        JournalError: the file cannot be read or written.
    """

    def __init__(self, client: JudgeClient, path: Path, most: int | None = None) -> None:
        if most is not None and most < 1:
            raise InputError(f"The judge may use {most} tokens: at least one is needed.")
        self._most = most
        self.name = str(client.model)
        self.usage = Usage()
        self.paid = 0
        self._client = client
        cut_torn_end(path)
        self._known = _read(path)
        self._log = Log(path, "file of judgements")
        self._used: set[str] = set()
        self._under_way: dict[str, asyncio.Task[Judgement]] = {}

    @property
    def used(self) -> int:
        """Judgements that were used."""
        return len(self._used)

    async def ask(self, messages: Conversation, max_tokens: int, *, logprobs: bool = False) -> JudgeReply:
        """The judge's reply.

        Args:
            messages: the question.
            max_tokens: most tokens of its reply, thinking included.
            logprobs: whether the probabilities of tokens are wanted.

        Raises:
            RewardError: the judge refuses, or cannot be reached.
            JournalError: the disk does not take the judgement.
        """
        max_tokens = min(max_tokens, self._most or max_tokens)
        whole = msgspec.json.encode([self.name, messages, max_tokens, logprobs])
        key = hashlib.blake2b(whole, digest_size=12).hexdigest()
        known = self._known.get(key)
        if known is None:
            if key not in self._under_way:
                self._under_way[key] = asyncio.ensure_future(self._pay(key, messages, max_tokens, logprobs))
            task = self._under_way[key]
            try:
                known = await asyncio.shield(task)
            except asyncio.CancelledError:
                task.cancel()
                raise
            finally:
                self._under_way.pop(key, None)
        if key not in self._used:
            self._used.add(key)
            self.usage.prompt_tokens += known.usage.prompt_tokens
            self.usage.completion_tokens += known.usage.completion_tokens
        return JudgeReply(known.text, known.tokens, known.problem)

    async def _pay(self, key: str, messages: Conversation, max_tokens: int, logprobs: bool) -> Judgement:
        with accounted() as usage:
            reply = await call_judge(self._client, messages, max_tokens, logprobs=logprobs)
        judgement = Judgement(key, self.name, reply.text, list(reply.tokens), reply.problem, usage)
        self._log.append(msgspec.json.encode(judgement))
        await self._log.commit()
        self._known[key] = judgement
        self.paid += 1
        return judgement

    def close(self) -> None:
        """Close the file."""
        self._log.close()


async def open_judge(
    spec: str, model: str | None, path: Path, stack: AsyncExitStack, on_note: Note, most: int | None = None
) -> Judging:
    """Connect to a judge.

    Args:
        spec: an http(s) URL, `embedded`, `gguf:PATH`, or `hub:ORG/REPO[:FILE]`.
        model: the model's name there; found by itself where one is served.
        path: the file of judgements.
        stack: closes what was opened.
        on_note: called with a line before anything that takes long.
        most: most tokens of a reply, where the benchmarks would allow for more.

    Raises:
        InputError: the spec is none of these, or a model must be named.
        TPOError: the judge cannot be reached, or the file cannot be used.
    """
    if is_local(spec):
        from tpo.models import embedded

        server = await asyncio.to_thread(embedded.start, await local_file(spec, on_note))
        client = JudgeClient(server.url, server.name, key=server.api_key)
    elif "://" in spec:
        client = JudgeClient(spec, model)
    else:
        raise InputError(f"{spec!r} is no judge: give a URL such as http://localhost:8000/v1, or {EMBEDDED}.")
    stack.push_async_callback(client.aclose)
    await client.connect()
    judging = Judging(client, path, most)
    stack.callback(judging.close)
    return judging


def _read(path: Path) -> dict[str, Judgement]:
    known: dict[str, Judgement] = {}
    if not path.exists():
        return known
    decoder = msgspec.json.Decoder(Judgement)
    number = 0
    try:
        with path.open("rb") as file:
            for line in file:
                number += 1
                one = decoder.decode(line)
                known[one.key] = one
    except OSError as error:
        raise JournalError(f"The judgements {path} cannot be read: {error.strerror}.") from error
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise JournalError(f"{path}, line {number}: this is no judgement ({error}). Move the file away.") from error
    return known
