"""From a model's output to numbers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from tpo.rewards.hf.profiles import Profile


class Reading(NamedTuple):
    """What a pass says of each sequence: the reward, and what it is made of."""

    values: list[float]
    parts: list[dict[str, float]]


class Head:
    """Runs a model and reads its reward, raw: no sigmoid, no softmax.

    Args:
        model: a model of transformers.
        profile: where its reward is.
        weights: weight by label, for a model with several.
    """

    def __init__(self, model: Any, profile: Profile, weights: Mapping[str, float]) -> None:
        self._model = model
        self._profile = profile
        self._weights = weights
        if profile.output == "logits":
            _sharpen(getattr(model, "score", None))

    def read(self, rows: Sequence[Sequence[int]], lengths: Sequence[int], *, masked: bool) -> Reading:
        """One pass.

        Args:
            rows: token ids, padded on the right to the same length.
            lengths: how many of each row's ids are the conversation's.
            masked: tell the model by an attention mask what is padding.
        """
        import torch

        with torch.inference_mode():
            device = self._model.device
            ids = torch.tensor(rows, device=device)
            ends = torch.tensor(lengths, device=device)
            mask = (torch.arange(ids.shape[1], device=device) < ends[:, None]).long() if masked else None
            values, parts = getattr(self, f"_{self._profile.output}")(ids, mask, ends)
            return Reading(values.double().tolist(), self._named(parts) if parts is not None else [{}] * len(rows))

    def _logits(self, ids: Any, mask: Any, ends: Any) -> tuple[Any, Any]:
        logits = self._model(input_ids=ids, attention_mask=mask).logits.float().reshape(len(ids), -1)
        if logits.shape[1] == 1:
            return logits[:, 0], None
        weights = [self._weights.get(name, 0.0) for name in self._names(logits.shape[1])]
        return logits @ logits.new_tensor(weights), logits

    def _score(self, ids: Any, mask: Any, ends: Any) -> tuple[Any, Any]:
        output = self._model(input_ids=ids, attention_mask=mask)
        return output.score.float().reshape(len(ids)), getattr(output, "rewards", None)

    def _vocabulary(self, ids: Any, mask: Any, ends: Any) -> tuple[Any, Any]:
        # The logits of all tokens at all positions would take gigabytes; one of each sequence is wanted.
        states = self._model.base_model(input_ids=ids, attention_mask=mask).last_hidden_state
        last = states[range(len(ids)), (ends - 1).to(states.device)].float()
        row = self._model.get_output_embeddings().weight[self._profile.token].float()
        return last @ row.to(last.device), None

    def _named(self, parts: Any) -> list[dict[str, float]]:
        names = self._names(parts.shape[1])
        return [dict(zip(names, row, strict=True)) for row in parts.double().tolist()]

    def _names(self, count: int) -> list[str]:
        labels = (self._model.config.id2label or {}) if self._profile.output == "logits" else {}
        names = self._profile.parts or [str(labels.get(index, index)) for index in range(count)]
        return list(names) if len(names) == count else [str(index) for index in range(count)]


def _sharpen(head: Any) -> None:
    """Let a linear head compute in float32.

    A bfloat16 number near 20 has steps of 0.125, so half-precision logits of good answers come out equal. vLLM
    computes these heads in float32 too.
    """
    import torch

    if isinstance(head, torch.nn.Linear) and head.weight.dtype in (torch.bfloat16, torch.float16):
        head.float()
        head.register_forward_pre_hook(lambda _, given: (given[0].float(), *given[1:]))
