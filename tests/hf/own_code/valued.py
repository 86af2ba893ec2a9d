"""A value read at the last token, which is one that asks for it."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn
from transformers import LlamaModel, LlamaPreTrainedModel
from transformers.modeling_outputs import SequenceClassifierOutput


class InternLM2ForRewardModel(LlamaPreTrainedModel):  # type: ignore[misc]
    """The value at each row's last token."""

    def __init__(self, config: Any) -> None:
        super().__init__(config)
        self.model = LlamaModel(config)
        self.v_head = nn.Linear(config.hidden_size, 1, bias=False)
        self.post_init()

    def forward(self, input_ids: Any = None, attention_mask: Any = None, **_: Any) -> Any:
        hidden = self.model(input_ids, attention_mask=attention_mask).last_hidden_state
        ends = attention_mask.sum(-1) - 1
        assert (input_ids[torch.arange(len(ends)), ends] == self.config.reward_token_id).all()
        return SequenceClassifierOutput(logits=self.v_head(hidden).squeeze(-1).gather(1, ends[:, None]))
