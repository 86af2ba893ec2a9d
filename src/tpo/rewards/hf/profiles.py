"""How reward models differ, as data. A model is recognised by its architecture, or by that and its name."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Literal

import msgspec


class RewardProfile(msgspec.Struct, frozen=True):
    """How a kind of model is loaded, fed and read.

    Attributes:
        kind: what to call such a model.
        architectures: a pattern for the whole of the architecture's name.
        models: a pattern to be found in the model's name; empty for any.
        loader: the class in transformers that loads it.
        own_code: it works only with the Python that it brings with it.
        output: where the reward is: "logits" (one a label), "score" (an attribute of the output, with `rewards` as
            its parts), or "vocabulary" (the logit of one token, where the next token would come).
        parts: the names of what `rewards` holds, in order; numbers where there are none.
        token: the vocabulary index for "vocabulary".
        append: the field of the model's config with the id of a token to be put after the conversation.
        layout: what it was trained on: "chat" by the tokenizer's template, or a "pair" of question and answer.
    """

    kind: str
    architectures: str
    models: str = ""
    loader: str = "AutoModelForSequenceClassification"
    own_code: bool = False
    output: Literal["logits", "score", "vocabulary"] = "logits"
    parts: tuple[str, ...] = ()
    token: int = 0
    append: str = ""
    layout: Literal["chat", "pair"] = "chat"


CLASSIFIER = RewardProfile("sequence classifier", r"\w+ForSequenceClassification")
OWN_CODE = RewardProfile("sequence classifier with code of its own", r"\w+", own_code=True)
LANGUAGE_MODEL = RewardProfile("language model", r"\w+ForCausalLM", loader="AutoModelForCausalLM", output="vocabulary")

PROFILES = (
    # https://huggingface.co/RLHFlow/ArmoRM-Llama3-8B-v0.1 names the attributes in this order.
    RewardProfile(
        "ArmoRM",
        "LlamaForRewardModelWithGating",
        models="ArmoRM",
        own_code=True,
        output="score",
        parts=(
            "helpsteer-helpfulness",
            "helpsteer-correctness",
            "helpsteer-coherence",
            "helpsteer-complexity",
            "helpsteer-verbosity",
            "ultrafeedback-overall_score",
            "ultrafeedback-instruction_following",
            "ultrafeedback-truthfulness",
            "ultrafeedback-honesty",
            "ultrafeedback-helpfulness",
            "beavertails-is_safe",
            "prometheus-score",
            "argilla-overall_quality",
            "argilla-judge_lm",
            "code-complexity",
            "code-style",
            "code-explanation",
            "code-instruction-following",
            "code-readability",
        ),
    ),
    # Models that were built on ArmoRM's code, with attributes of their own.
    RewardProfile("gated heads", r"\w+ForRewardModelWithGating", own_code=True, output="score"),
    # https://huggingface.co/internlm/internlm2-7b-reward reads its value at a token of its own after the chat.
    RewardProfile(
        "InternLM2 reward", "InternLM2ForRewardModel", loader="AutoModel", own_code=True, append="reward_token_id"
    ),
    # https://huggingface.co/Qwen/Qwen2.5-Math-RM-72B
    RewardProfile("Qwen2 reward", "Qwen2ForRewardModel", loader="AutoModel", own_code=True),
    # https://huggingface.co/nvidia/Llama-3.1-Nemotron-70B-Reward-HF and its successors: token 0 carries the reward.
    RewardProfile(
        "Nemotron reward",
        "LlamaForCausalLM",
        models=r"(?i)nemotron.*reward",
        loader="AutoModelForCausalLM",
        output="vocabulary",
    ),
    # https://huggingface.co/OpenAssistant/reward-model-deberta-v3-large-v2 predates chat templates.
    RewardProfile(
        "OpenAssistant reward", "DebertaV2ForSequenceClassification", models="reward-model-deberta", layout="pair"
    ),
    CLASSIFIER,
)


def profile_for(name: str, config: Mapping[str, Any], token: int | None = None) -> RewardProfile | None:
    """The profile of a model.

    Args:
        name: the model's name or folder.
        config: its config.json.
        token: the vocabulary index that carries the reward, if the user named one.

    Returns:
        The profile; None for a model that is no reward model, as far as its config shows.
    """
    names = f"{name} {config.get('_name_or_path', '')}"
    for architecture in config.get("architectures") or ():
        if token is not None:
            if re.fullmatch(LANGUAGE_MODEL.architectures, architecture):
                return msgspec.structs.replace(LANGUAGE_MODEL, token=token)
            continue
        for profile in PROFILES:
            if re.fullmatch(profile.architectures, architecture) and re.search(profile.models, names):
                return profile
        if OWN_CODE.loader in (config.get("auto_map") or {}):
            return OWN_CODE
    return None
