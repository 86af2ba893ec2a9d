"""Reward models served by llama.cpp with rank pooling: `/v1/rerank`, or whole chats through `/embedding`.

Wire format: llama.cpp's tools/server/README.md, seen on its server inside xllamacpp 2026.10.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import PurePath
from typing import Any, Literal

from tpo.errors import InputError, RewardError
from tpo.messages import Conversation, text_of
from tpo.rewards.protocol import Score
from tpo.rewards.served import PARALLEL, RewardServer, batches
from tpo.rewards.served_reward import MISSING, ServedReward, by_context, in_order, score_in
from tpo.rewards.templating import ChatTemplate
from tpo.scheduling.concurrency import together

START = "Start it with: llama-server -m MODEL.gguf --embedding --pooling rank"


class LlamaCppReward(ServedReward):
    """A reward model on a llama.cpp server that pools by rank, as raw scores.

    Args:
        url: the server.
        model: its name there, where it serves several.
        form: "rerank" sends the query and its answers, which the server joins by its model's rerank template;
            "chat" sends whole chats, for models that were trained on those.
        template: for "chat": render it here (folder or file of the tokenizer); otherwise the server does.
        batch: most answers in one request.
        parallel: most requests in flight.
        key: the key, where it is not in the environment.

    Raises:
        InputError: the form is unknown, or "rerank" comes with a template.
    """

    def __init__(
        self,
        url: str,
        *,
        model: str | None = None,
        form: Literal["rerank", "chat"] | None = None,
        template: str | None = None,
        batch: int = 32,
        parallel: int = PARALLEL,
        key: str | None = None,
    ) -> None:
        form = form or ("chat" if template else "rerank")
        if form not in ("rerank", "chat") or (form == "rerank" and template):
            raise InputError(f"form={form}: it is rerank, or chat, with a chat template (template=PATH) or without.")
        self._form = form
        self._template = ChatTemplate.load(template) if template else None
        self._batch = batch
        self._served_as = model
        shown = self._template.name if self._template else None
        super().__init__(RewardServer("llamacpp", url, START, key, parallel), model, form=form, template=shown)

    async def _connect(self) -> None:
        if self.model is None:
            self._served_as = await self.server.model()
            # Without an alias it is the path of a file, which describes a machine more than a model.
            self.model = PurePath(self._served_as).name

    async def _score(self, conversations: Sequence[Conversation]) -> list[Score | float]:
        if self._form == "rerank":
            return await by_context(conversations, self._batch, self._rerank)
        texts = await together(self._text(messages) for messages in conversations)
        parts = await together(self._embed(part) for part in batches(texts, self._batch))
        return [score for scores in parts for score in scores]

    async def _rerank(self, query: str, answers: Sequence[str]) -> list[Score | float]:
        body = {"model": self._served_as, "query": query, "documents": answers}
        answer = await self.server.post("v1/rerank", body, len(answers))
        # Sorted, the best first: only the index identifies the answer.
        results = in_order(
            answer.get("results") if isinstance(answer, dict) else answer, len(answers), self.server.where
        )
        return [score_in(result.get("relevance_score", MISSING), f"{self.server.where}: a score") for result in results]

    async def _text(self, messages: Conversation) -> str:
        if self._template is not None:
            # The server puts the first token there itself.
            return self._template.text(messages, bos=False)
        answer = await self.server.post("apply-template", {"messages": messages, "add_generation_prompt": False})
        text = answer.get("prompt") if isinstance(answer, dict) else None
        if not isinstance(text, str):
            raise self.server.wrong(f"sent {repr(answer)[:120]}, where a rendered prompt is expected")
        if text.rstrip().endswith(text_of(messages[-1]).rstrip()):
            # Its habit for a last message of the assistant; the model was trained on answers that end.
            raise RewardError(
                f"{self.server.where} renders the answer as one to be continued, without the token that ends it: "
                f"start it with --no-prefill-assistant, or give the chat template (template=PATH)."
            )
        return text

    async def _embed(self, texts: Sequence[str]) -> list[Score | float]:
        # Normalised, as by default, a lone number would always be 1 or -1.
        body = {"model": self._served_as, "content": texts, "embd_normalize": -1}
        entries = in_order(await self.server.post("embedding", body, len(texts)), len(texts), self.server.where)
        return [self._first(entry) for entry in entries]

    def _first(self, entry: dict[str, Any]) -> float:
        rows = entry.get("embedding")
        if not isinstance(rows, list) or len(rows) != 1 or not isinstance(rows[0], list) or not rows[0]:
            pooled = f"{len(rows)} rows" if isinstance(rows, list) else repr(rows)[:80]
            raise self.server.wrong(f"sent {pooled} for one conversation, so it does not pool by rank")
        # Some builds send as many numbers as the model is wide; those after the score are leftovers in memory.
        return score_in(rows[0][0], f"{self.server.where}: a score")
