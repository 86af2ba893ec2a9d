"""Any service that scores over HTTP, in a form of our own or in the one that training frameworks use.

Our own, "conversations": POST {"conversations": [[{"role", "content"}, …], …]} is answered by
{"scores": [NUMBER or {"value": NUMBER, "parts": {NAME: NUMBER}, "feedback": TEXT, "missing": {NAME: TEXT}}, …]}, in the
same order; null instead of a score means that this answer gets none.

"query", as OpenRLHF's remote reward models speak it: POST {"query": [TEXT, …], "prompts": [TEXT, …]} is answered by
{"rewards": [NUMBER, …]}. A query is the whole chat as text, its prompt the part before the answer.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

from tpo import specs
from tpo.errors import InputError, RewardError
from tpo.messages import Conversation
from tpo.rewards.call import ABSTAINED
from tpo.rewards.protocol import Score
from tpo.rewards.served import PARALLEL, RewardServer, batches
from tpo.rewards.served_reward import MISSING, ServedReward, number, score_in
from tpo.rewards.templating import ChatTemplate
from tpo.scheduling.concurrency import together

START = "What it must answer is in docs/reward-servers.md"


class HTTPReward(ServedReward):
    """A reward service at a URL, which is used exactly as it is given.

    Args:
        url: the address that takes the POST.
        form: "conversations" or "query".
        template: the chat template (folder or file of a tokenizer), which "query" needs.
        model: a name for what scores there, for the reward's own name only.
        batch: most conversations in one request.
        parallel: most requests in flight.
        key: the key, where it is not in the environment.

    Raises:
        InputError: the form is unknown, or "query" comes without a template.
    """

    def __init__(
        self,
        url: str,
        *,
        form: Literal["conversations", "query"] = "conversations",
        template: str | None = None,
        model: str | None = None,
        batch: int = 32,
        parallel: int = PARALLEL,
        key: str | None = None,
    ) -> None:
        if form not in ("conversations", "query") or (form == "query") != bool(template):
            raise InputError(f"form={form}: it is conversations, or query with a chat template (template=PATH).")
        self._template = ChatTemplate.load(template) if template else None
        self._batch = batch
        shown = self._template.name if self._template else None
        super().__init__(RewardServer("http", url, START, key, parallel, exact=True), model, form=form, template=shown)

    @classmethod
    def load(cls, text: str) -> HTTPReward:
        """Make the reward from "URL?option=value". The URL may have a query of its own: unknown options are part of it.

        Raises:
            InputError: as for the class, or a value does not fit.
        """
        types = specs.options_of(cls, 1)
        written = specs.parse(text, "reward http", types, strangers=True)
        url = f"{written.head}?{'&'.join(written.rest)}" if written.rest else written.head
        return cls(url, **specs.typed(written.options, types, "reward http"))

    async def _connect(self) -> None:
        """Such a server describes nothing."""

    async def _score(self, conversations: Sequence[Conversation]) -> list[Score | float]:
        parts = await together(self._ask(part) for part in batches(conversations, self._batch))
        return [score for scores in parts for score in scores]

    async def _ask(self, conversations: Sequence[Conversation]) -> list[Score | float]:
        key = "scores" if self._template is None else "rewards"
        answer = await self.server.post("", self._body(conversations), len(conversations))
        scores = answer.get(key) if isinstance(answer, dict) else None
        if not isinstance(scores, list) or len(scores) != len(conversations):
            came = f"{len(scores)} {key}" if isinstance(scores, list) else repr(answer)[:120]
            raise self.server.wrong(f"sent {came} for {len(conversations)} conversations")
        return [self._read(score) for score in scores]

    def _body(self, conversations: Sequence[Conversation]) -> dict[str, Any]:
        if self._template is None:
            return {"conversations": conversations}
        # Such services tokenize texts as they come, which puts the first token there.
        return {
            "query": [self._template.text(messages, bos=False) for messages in conversations],
            "prompts": [self._template.text(messages[:-1], bos=False, answer_due=True) for messages in conversations],
        }

    def _read(self, score: Any) -> Score | float:
        if score is None:
            return ABSTAINED
        url = self.server.where
        if not isinstance(score, Mapping):
            return number(score, f"{url}: a score")
        parts, feedback, missing = score.get("parts") or {}, score.get("feedback"), score.get("missing") or {}
        if not isinstance(parts, dict) or not isinstance(feedback, str | None):
            raise RewardError(f"{url}: parts is an object of numbers and feedback a text; {repr(score)[:120]} came.")
        values = {name: number(value, f"{url}: the part {name}") for name, value in parts.items()}
        if not isinstance(missing, dict) or not all(isinstance(words, str) for words in missing.values()):
            raise RewardError(f"{url}: missing is an object of texts; {repr(score)[:120]} came.")
        return Score(score_in(score.get("value", MISSING), f"{url}: a score's value"), values, feedback, missing)
