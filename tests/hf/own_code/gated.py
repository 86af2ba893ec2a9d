"""A reward mixed from 19 attributes by a gate that reads the prompt's last token."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from transformers import LlamaModel, LlamaPreTrainedModel
from transformers.utils import ModelOutput


@dataclass
class Output(ModelOutput):  # type: ignore[misc]
    """What the model says."""

    rewards: Any = None
    score: Any = None
    logits: Any = None


class LlamaForRewardModelWithGating(LlamaPreTrainedModel):  # type: ignore[misc]
    """Attributes at the last token that is no padding, weights for them where the assistant's turn begins."""

    def __init__(self, config: Any) -> None:
        super().__init__(config)
        self.model = LlamaModel(config)
        self.regression_layer = nn.Linear(config.hidden_size, 19, bias=False)
        self.gating = nn.Linear(config.hidden_size, 19, bias=False)
        self.post_init()

    def forward(self, input_ids: Any = None, attention_mask: Any = None, **_: Any) -> Output:
        hidden = self.model(input_ids, attention_mask=attention_mask).last_hidden_state
        rows = torch.arange(len(input_ids))
        # The first pad token, as older code has it: one that occurs in the text would end it there.
        pad = (input_ids == self.config.pad_token_id).int().argmax(-1) - 1
        rewards = self.regression_layer(hidden[rows, pad % input_ids.shape[1]])
        asked = torch.tensor([ids.index(5) for ids in input_ids.tolist()])
        weights = self.gating(hidden[rows, asked]).softmax(-1)
        score = (weights * rewards).sum(-1)
        return Output(rewards=rewards, score=score, logits=score)
