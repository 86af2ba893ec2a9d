"""Reward models served as NVIDIA NIMs: chat completions whose content is the scores.

Wire format: https://docs.nvidia.com/nim/large-language-models/latest/reward-model.html. The content is a number, or
pairs such as "helpfulness:1.6,correctness:1.7".
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from tpo.messages import Conversation
from tpo.rewards.protocol import Score
from tpo.rewards.served import PARALLEL, RewardServer
from tpo.rewards.served_reward import ServedReward, chosen, combined
from tpo.scheduling.concurrency import together

START = "A NIM scores when it runs a reward model, with NIM_REWARD_MODEL set where its image needs that"
# What stands for the whole where nothing was given. HelpSteer's other attributes (complexity, verbosity) are no merits.
USUAL = ("reward", "helpfulness")


class NIMReward(ServedReward):
    """A reward model in an NVIDIA NIM.

    Args:
        url: the server; with or without `/v1`.
        model: its name there, where it serves several.
        attribute: which attribute is the reward; without it the only one, "reward" or "helpfulness".
        weights: or what each attribute counts.
        parallel: most requests in flight.
        key: the key, where it is not in the environment.
    """

    def __init__(
        self,
        url: str,
        *,
        model: str | None = None,
        attribute: str | None = None,
        weights: Mapping[str, float] | None = None,
        parallel: int = PARALLEL,
        key: str | None = None,
    ) -> None:
        self._weights = chosen(attribute, weights)
        super().__init__(RewardServer("nim", url, START, key, parallel), model, weights=self._weights)

    async def _score(self, conversations: Sequence[Conversation]) -> list[Score | float]:
        return list(await together(self._ask(messages) for messages in conversations))

    async def _ask(self, messages: Conversation) -> Score:
        body = {"model": self.model, "messages": messages, "stream": False}
        answer = await self.server.post("v1/chat/completions", body)
        try:
            message = answer["choices"][0]["message"]
            # The hosted service has sent a list of one message.
            content = (message[0] if isinstance(message, list) else message)["content"]
            parts = _attributes(content)
        except (KeyError, IndexError, TypeError, ValueError, AttributeError) as error:
            raise self.server.wrong(f"sent {_shortened(answer)}, where attribute:score pairs are expected") from error
        return combined(parts, self._weights, self.server.where, USUAL)


def _attributes(content: str) -> dict[str, float]:
    """The scores by attribute, as they are written; a lone number is called "reward".

    Raises:
        ValueError: the content is anything else, such as a chat model's answer.
    """
    parts: dict[str, float] = {}
    for pair in content.strip().rstrip(",").split(","):
        name, _, score = pair.strip().rpartition(":")
        value = float(score)
        # A name is one word: a chat model might write "My score: 5".
        if not math.isfinite(value) or name in parts or len(name.split()) > 1:
            raise ValueError(pair)
        parts[name or "reward"] = value
    return parts


def _shortened(answer: Any) -> str:
    try:
        return repr(answer["choices"][0]["message"])[:120]
    except (KeyError, IndexError, TypeError):
        return repr(answer)[:120]
