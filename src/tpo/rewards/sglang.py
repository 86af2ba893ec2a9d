"""Reward models served by SGLang: its native `/classify`, which takes text and returns raw scores.

Wire format: `EmbeddingReqInput` and the `/classify` route of SGLang's http_server.py
(https://docs.sglang.io, reward models). Its OpenAI-like `/v1/classify` is another thing: it takes the softmax over
the labels, which for one label is always 1.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from pathlib import Path

from tpo.errors import InputError
from tpo.messages import Conversation
from tpo.rewards.protocol import Score
from tpo.rewards.served import PARALLEL, RewardServer, batches
from tpo.rewards.served_reward import ServedReward, chosen, combined, score_in
from tpo.rewards.templating import ChatTemplate
from tpo.scheduling.concurrency import together

START = "Start it with: python -m sglang.launch_server --model-path MODEL --is-embedding"
# More numbers than any reward model has labels: the hidden state of a model without a reward head.
MOST_LABELS = 64


class SGLangReward(ServedReward):
    """A reward model on an SGLang server, as raw scores.

    Args:
        url: the server.
        model: its name there; the server serves one and does not mind.
        template: the chat template (folder or file of the tokenizer). Without it, the server's own tokenizer folder is
            looked for on this machine.
        label: which label is the reward, by its number, where the model has several.
        weights: or what each label's score counts, by its number.
        batch: most texts in one request.
        parallel: most requests in flight.
        key: the key, where it is not in the environment.
    """

    def __init__(
        self,
        url: str,
        *,
        model: str | None = None,
        template: str | None = None,
        label: int | None = None,
        weights: Mapping[str, float] | None = None,
        batch: int = 32,
        parallel: int = PARALLEL,
        key: str | None = None,
    ) -> None:
        self._weights = chosen(label, weights)
        self._template = ChatTemplate.load(template) if template else None
        self._batch = batch
        super().__init__(
            RewardServer("sglang", url, START, key, parallel),
            model,
            weights=self._weights,
            template=self._template.name if self._template else None,
        )

    async def _connect(self) -> None:
        if self._template is None:
            # Newer servers have the first page, older ones the second.
            info = await self.server.get("model_info") or await self.server.get("get_model_info") or {}
            where = str(info.get("tokenizer_path") or info.get("model_path") or "")
            if not where or not await asyncio.to_thread(Path(where).is_dir):
                raise InputError(
                    f"SGLang's /classify takes text, so the chat template of {where or 'the model'} is needed here: "
                    f"give the folder of its tokenizer (template=PATH)."
                )
            self._template = ChatTemplate.load(where)
            self._options["template"] = self._template.name
        await super()._connect()

    async def _score(self, conversations: Sequence[Conversation]) -> list[Score | float]:
        assert self._template is not None
        # The server's tokenizer puts the first token there itself.
        texts = [self._template.text(messages, bos=False) for messages in conversations]
        parts = await together(self._ask(part) for part in batches(texts, self._batch))
        return [score for scores in parts for score in scores]

    async def _ask(self, texts: Sequence[str]) -> list[Score | float]:
        answer = await self.server.post("classify", {"model": self.model, "text": texts}, len(texts))
        if not isinstance(answer, list) or len(answer) != len(texts):
            came = f"{len(answer)} scores" if isinstance(answer, list) else repr(answer)[:80]
            raise self.server.wrong(f"sent {came} for {len(texts)} conversations")
        return [self._read(entry) for entry in answer]

    def _read(self, entry: object) -> Score:
        root = self.server.where
        scores = entry.get("embedding") if isinstance(entry, dict) else None
        if not isinstance(scores, list) or not scores:
            raise self.server.wrong(f"sent {repr(entry)[:120]}, where an embedding of one score is expected")
        if len(scores) > MOST_LABELS:
            raise self.server.wrong(f"sent {len(scores)} numbers a conversation: a hidden state, not scores")
        parts = {str(index): score_in(score, f"{root}: a score") for index, score in enumerate(scores)}
        return combined(parts, self._weights, root)
