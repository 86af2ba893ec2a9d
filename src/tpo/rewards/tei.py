"""Reward models served by Hugging Face's text-embeddings-inference: `/predict` and `/rerank`, for encoder classifiers.

Wire format: its openapi.json, version 1.7 (https://huggingface.github.io/text-embeddings-inference).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

from tpo.errors import InputError
from tpo.messages import Conversation, readable, text_of
from tpo.rewards.protocol import Score
from tpo.rewards.served import PARALLEL, RewardServer, batches
from tpo.rewards.served_reward import MISSING, ServedReward, by_context, chosen, combined, in_order, score_in
from tpo.rewards.templating import ChatTemplate
from tpo.scheduling.concurrency import together

START = "Start it with: text-embeddings-router --model-id MODEL"
FORMS = ("pair", "text", "rerank")


class TEIReward(ServedReward):
    """A reward model on a text-embeddings-inference server, as raw scores.

    Args:
        url: the server.
        form: "pair" sends the query and the answer as two texts, as DeBERTa reward models want it; "text" sends the
            chat as one text, for which a template is needed; "rerank" calls `/rerank` with query and answers.
        template: the chat template (folder or file of the tokenizer), for "text".
        label: which label is the reward, by its name, where the model has several.
        weights: or what each label's score counts, by its name.
        truncate: cut what is too long, at its beginning; otherwise it is an error.
        parallel: most requests in flight.
        key: the key, where it is not in the environment.

    The server's `/info` names the model and how many texts a request may hold.

    Raises:
        InputError: the form is unknown, or "text" comes without a template.
    """

    def __init__(
        self,
        url: str,
        *,
        form: Literal["pair", "text", "rerank"] | None = None,
        template: str | None = None,
        label: str | None = None,
        weights: Mapping[str, float] | None = None,
        truncate: bool = False,
        parallel: int = PARALLEL,
        key: str | None = None,
    ) -> None:
        form = form or ("text" if template else "pair")
        if form not in FORMS or (form == "text") != bool(template):
            raise InputError(f"form={form}: it is pair or rerank, or text with a chat template (template=PATH).")
        self._form = form
        self._weights = chosen(label, weights)
        self._template = ChatTemplate.load(template) if template else None
        self._cut = {"truncate": True, "truncation_direction": "Left"} if truncate else {"truncate": False}
        self._batch = 1
        shown = self._template.name if self._template else None
        options = {"form": form, "template": shown, "weights": self._weights, "truncate": truncate}
        super().__init__(RewardServer("tei", url, START, key, parallel), None, **options)

    async def _connect(self) -> None:
        info = await self.server.get("info")
        kinds = info.get("model_type") if isinstance(info, dict) else None
        if not isinstance(info, dict) or not isinstance(kinds, dict):
            raise self.server.wrong("has no /info that names a model")
        if not {"classifier", "reranker"} & kinds.keys():
            raise self.server.wrong(f"serves {info.get('model_id')}, which is of type {', '.join(kinds)}")
        self.model = str(info.get("model_id"))
        most = info.get("max_client_batch_size")
        self._batch = most if isinstance(most, int) and most > 1 else 1

    async def _score(self, conversations: Sequence[Conversation]) -> list[Score | float]:
        if self._form == "rerank":
            return await by_context(conversations, self._batch, self._rerank)
        inputs = [self._input(messages) for messages in conversations]
        parts = await together(self._predict(part) for part in batches(inputs, self._batch))
        return [score for scores in parts for score in scores]

    def _input(self, messages: Conversation) -> list[str]:
        if self._template is not None:
            # The server's tokenizer puts the first token there itself.
            return [self._template.text(messages, bos=False)]
        return [readable(messages[:-1]), text_of(messages[-1])]

    async def _predict(self, inputs: Sequence[list[str]]) -> list[Score | float]:
        # Always a list of lists: a plain list of two texts would be one pair.
        body: dict[str, Any] = {"inputs": inputs, "raw_scores": True, **self._cut}
        answer = await self.server.post("predict", body, len(inputs))
        if not isinstance(answer, list) or len(answer) != len(inputs):
            came = f"{len(answer)} scores" if isinstance(answer, list) else repr(answer)[:80]
            raise self.server.wrong(f"sent {came} for {len(inputs)} conversations")
        return [self._read(labels) for labels in answer]

    def _read(self, labels: Any) -> Score:
        if not isinstance(labels, list) or not all(isinstance(label, dict) for label in labels) or not labels:
            raise self.server.wrong(f"sent {repr(labels)[:120]}, where a score for each label is expected")
        # They come with the highest first, so only their names identify them.
        root = self.server.where
        parts = {
            str(label.get("label")): score_in(label.get("score", MISSING), f"{root}: a label's score")
            for label in labels
        }
        return combined(parts, self._weights, root)

    async def _rerank(self, query: str, answers: Sequence[str]) -> list[Score | float]:
        body = {"query": query, "texts": answers, "raw_scores": True, "return_text": False, **self._cut}
        ranks = in_order(await self.server.post("rerank", body, len(answers)), len(answers), self.server.where)
        return [score_in(rank.get("score", MISSING), f"{self.server.where}: a rank's score") for rank in ranks]
