"""A careless model."""

from __future__ import annotations

from typing import Any

from torch import nn
from transformers import LlamaModel, LlamaPreTrainedModel
from transformers.modeling_outputs import SequenceClassifierOutput


class BlindForSequenceClassification(LlamaPreTrainedModel):  # type: ignore[misc]
    """Reads the last position."""

    def __init__(self, config: Any) -> None:
        super().__init__(config)
        self.model = LlamaModel(config)
        self.score = nn.Linear(config.hidden_size, 1, bias=False)
        self.post_init()

    def forward(self, input_ids: Any = None, attention_mask: Any = None, **_: Any) -> Any:
        hidden = self.model(input_ids, attention_mask=attention_mask).last_hidden_state
        return SequenceClassifierOutput(logits=self.score(hidden[:, -1]))
