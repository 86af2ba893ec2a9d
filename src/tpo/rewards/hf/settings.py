"""What a user may say about a reward model: its name, and options after a question mark."""

from __future__ import annotations

from typing import Any, Literal, TypeAlias, get_args

import msgspec

from tpo import specs
from tpo.errors import InputError

Dtype: TypeAlias = Literal["auto", "bfloat16", "float16", "float32"]

WRITTEN = "hf:NAME_OR_DIR?option=value&option=value"


class HfSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Which model, where it runs, and how its output becomes one number.

    Attributes:
        model: a name on the hub, or a folder.
        revision: a branch, tag or commit on the hub.
        dtype: of the weights; "auto" is bfloat16 on an accelerator and float32 on a CPU.
        device: "auto" (cuda, else mps, else cpu), a torch device such as "cuda:1", or "spread" for all GPUs.
        trust_remote_code: run the Python that the model brings with it.
        chat_template: a Jinja file that is used instead of the tokenizer's template.
        weights: for a model with several labels: weight by label; labels that are not named weigh nothing.
        reward_token: for a language model: the vocabulary index whose logit, where the next token would come, is
            the reward.
        max_batch: most conversations in one pass.
        max_batch_tokens: most tokens in one pass, padding included; a longer conversation goes alone. 16384 unless
            given, and 2048 on a CPU, where larger passes only leave its caches.
    """

    model: str
    revision: str | None = None
    dtype: Dtype = "auto"
    device: str = "auto"
    trust_remote_code: bool = False
    chat_template: str | None = None
    weights: dict[str, float] = {}
    reward_token: int | None = None
    max_batch: int = 64
    max_batch_tokens: int | None = None

    def __post_init__(self) -> None:
        if not self.model.strip():
            raise InputError(f"The reward hf: names no model: write {WRITTEN}.")
        for name in ("max_batch", "max_batch_tokens"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise InputError(f"hf:{self.model}: {name} is {value}; it is 1 or more.")

    @classmethod
    def parse(cls, text: str) -> HfSettings:
        """Read "NAME_OR_DIR?option=value&…", what stands after "hf:".

        Raises:
            InputError: there is no name, an option is unknown, or its value is unusable.
        """
        model = text.partition("?")[0]
        what = f"reward hf:{model}"
        options: dict[str, Any] = dict(specs.parse(text, what, OPTIONS).options)
        if "weights" in options:
            options |= specs.typed({"weights": options["weights"]}, {"weights": dict[str, float]}, what)
        return made(model, **options)


OPTIONS = tuple(name for name in HfSettings.__struct_fields__ if name != "model")


def made(model: str, **options: Any) -> HfSettings:
    """HfSettings whose values are checked.

    Raises:
        InputError: an option is unknown, or its value is of the wrong kind.
    """
    try:
        return msgspec.convert({"model": model, **options}, HfSettings, strict=False)
    except msgspec.ValidationError as error:
        if isinstance(error.__cause__, InputError):
            raise error.__cause__ from None
        what, _, where = str(error).partition(" - at ")
        name = where.strip("`$.")
        known = f" (known: {', '.join(get_args(Dtype))})" if name == "dtype" else ""
        raise InputError(f"hf:{model}: {name or 'options'}: {what}{known}.") from error
