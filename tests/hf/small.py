"""Small reward models with random weights, in the layouts that are found on the hub.

They know nothing, but weights are large enough for every token, position and pad to move a score visibly.
"""

from __future__ import annotations

import importlib
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

TURN = "{% for m in messages %}{{ '<|' + m['role'] + '|>' + m['content'] + '<|end|>' }}{% endfor %}"
STRICT = (
    "{% for m in messages %}{% if m['role'] == 'system' %}{{ raise_exception('no system role here') }}{% endif %}"
    "{{ m['content'] + '<|end|>' }}{% endfor %}"
)
WITH_BOS = "{{ bos_token }}" + TURN
SPECIAL = ["<bos>", "<|end|>", "<pad>", "<unk>", "<|user|>", "<|assistant|>", "<|system|>", "<value>"]
TEXT = ["how do I take care of a wooden table?", "wipe it with a damp cloth and oil it once a year.", "Ärger 你好 12"]
HERE = Path(__file__).parent / "own_code"

SIZES = {
    "vocab_size": 400,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 8,
    "max_position_embeddings": 256,
    "initializer_range": 0.3,
}


def tokenizer(template: str | None = WITH_BOS, **special: str | None) -> Any:
    """A byte-level BPE tokenizer that adds a BOS of its own to plain text, as Llama's does.

    Args:
        template: its chat template.
        special: special tokens; `bos_token=None` for one without, as Qwen's.
    """
    import tokenizers
    import transformers

    bpe = tokenizers.Tokenizer(tokenizers.models.BPE())
    bpe.pre_tokenizer = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False)
    bpe.decoder = tokenizers.decoders.ByteLevel()
    alphabet = tokenizers.pre_tokenizers.ByteLevel.alphabet()
    trainer = tokenizers.trainers.BpeTrainer(
        vocab_size=390, special_tokens=SPECIAL, initial_alphabet=alphabet, show_progress=False
    )
    bpe.train_from_iterator(TEXT, trainer)
    named = {"bos_token": "<bos>", "eos_token": "<|end|>", "pad_token": "<pad>", **special}
    if named["bos_token"]:
        bpe.post_processor = tokenizers.processors.TemplateProcessing(
            single="<bos> $A", pair="<bos> $A <|end|> $B", special_tokens=[("<bos>", 0), ("<|end|>", 1)]
        )
    fast = transformers.PreTrainedTokenizerFast(
        tokenizer_object=bpe, **{name: token for name, token in named.items() if token}
    )
    fast.chat_template = template
    return fast


def write(folder: Path, model: Any, tok: Any, **config: Any) -> None:
    """Save a model and its tokenizer, with the given fields of config.json replaced."""
    model.save_pretrained(folder)
    tok.save_pretrained(folder)
    path = folder / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **config}))


def transformer(kind: str, head: str = "ForSequenceClassification", **changes: Any) -> Any:
    """A random model of transformers, such as kind "Llama"."""
    import torch
    import transformers

    torch.manual_seed(0)
    one = {} if "id2label" in changes else {"num_labels": 1}
    config = getattr(transformers, f"{kind}Config")(**{**SIZES, **one, "pad_token_id": None, **changes})
    return getattr(transformers, f"{kind}{head}")(config).eval()


def llama(folder: Path) -> None:
    """BOS in the template and in the tokenizer; a pad token that the config names."""
    write(folder, transformer("Llama", pad_token_id=2), tokenizer())


def qwen(folder: Path) -> None:
    """No BOS at all, and no pad token in the config."""
    write(folder, transformer("Qwen2"), tokenizer(TURN, bos_token=None))


def gemma(folder: Path) -> None:
    """Sliding windows, and a template that refuses system messages."""
    model = transformer("Gemma2", sliding_window=16, query_pre_attn_scalar=8, pad_token_id=2)
    write(folder, model, tokenizer("{{ bos_token }}" + STRICT))


def gpt2(folder: Path) -> None:
    """Absolute positions; no pad token anywhere, and an EOS that ends every conversation."""
    model = transformer("GPT2", n_positions=256, n_embd=32, n_layer=2, n_head=4)
    write(folder, model, tokenizer(TURN, bos_token=None, pad_token=None))


def deberta(folder: Path) -> None:
    """An encoder, read at its first position."""
    model = transformer("DebertaV2", relative_attention=True, pos_att_type=["p2c", "c2p"], pad_token_id=2)
    write(folder, model, tokenizer(TURN))


def deberta_pair(folder: Path) -> None:
    """An encoder that knows no chat template, recognised by its name."""
    model = transformer("DebertaV2", pad_token_id=2)
    write(folder, model, tokenizer(None), _name_or_path="OpenAssistant/reward-model-deberta-v3-base")


def pad_is_end(folder: Path) -> None:
    """A model whose config says that the token which ends every turn is padding: trained that way, or so it says."""
    write(folder, transformer("Llama", pad_token_id=1), tokenizer())


def truncating(folder: Path) -> None:
    """A tokenizer that was saved with truncation switched on."""
    tok = tokenizer()
    tok.backend_tokenizer.enable_truncation(8)
    write(folder, transformer("Llama", pad_token_id=2), tok)


def labels(folder: Path) -> None:
    """Three labels."""
    write(folder, transformer("Llama", id2label={0: "good", 1: "safe", 2: "long"}, pad_token_id=2), tokenizer())


def no_template(folder: Path) -> None:
    """A classifier whose tokenizer has no chat template."""
    write(folder, transformer("Llama", pad_token_id=2), tokenizer(None))


def language_model(folder: Path) -> None:
    """No reward model."""
    write(folder, transformer("Llama", "ForCausalLM"), tokenizer())


def encoder(folder: Path) -> None:
    """No reward model either."""
    write(folder, transformer("Llama", "Model"), tokenizer())


def token_classifier(folder: Path) -> None:
    """Scores tokens."""
    write(folder, transformer("Llama", "ForTokenClassification"), tokenizer())


def headless(folder: Path) -> None:
    """Says that it is a classifier, but its weights are a language model's."""
    model = transformer("Llama", "ForCausalLM", pad_token_id=2)
    write(folder, model, tokenizer(), architectures=["LlamaForSequenceClassification"])


def nemotron(folder: Path) -> None:
    """A language model whose token 0 carries the reward, recognised by its name."""
    name = "nvidia/Llama-3.1-Nemotron-70B-Reward-HF"
    write(folder, transformer("Llama", "ForCausalLM"), tokenizer(), _name_or_path=name)


def _own(folder: Path, file: str, name: str, loader: str, **config: Any) -> None:
    """A model with code of its own."""
    import torch
    import transformers

    module = importlib.import_module(f"hf.own_code.{file}")
    torch.manual_seed(0)
    model = getattr(module, name)(transformers.LlamaConfig(**{**SIZES, "pad_token_id": 2, **config}))
    write(folder, model, tokenizer(), architectures=[name], auto_map={loader: f"{file}.{name}"}, **config)
    shutil.copy(HERE / f"{file}.py", folder)


def armo(folder: Path) -> None:
    """19 attributes, mixed by a gate, in the layout of ArmoRM."""
    name = "RLHFlow/ArmoRM-Llama3-8B-v0.1"
    _own(folder, "gated", "LlamaForRewardModelWithGating", "AutoModelForSequenceClassification", _name_or_path=name)


def gated(folder: Path) -> None:
    """The same, under a name that says nothing of the attributes."""
    _own(folder, "gated", "LlamaForRewardModelWithGating", "AutoModelForSequenceClassification")


def internlm(folder: Path) -> None:
    """A value read at a token of its own, in the layout of InternLM2-reward."""
    _own(folder, "valued", "InternLM2ForRewardModel", "AutoModel", reward_token_id=7)


def blind(folder: Path) -> None:
    """Code of its own that reads the last position, be it padding or not."""
    _own(folder, "blind", "BlindForSequenceClassification", "AutoModelForSequenceClassification")


def broken(folder: Path) -> None:
    """Code of its own that needs something which transformers no longer has."""
    blind(folder)
    path = folder / "blind.py"
    path.write_text(path.read_text().replace("import LlamaModel,", "import NoLongerThere, LlamaModel,"))


MODELS: dict[str, Callable[[Path], None]] = {
    build.__name__: build
    for build in (
        *(llama, qwen, gemma, gpt2, deberta, deberta_pair, pad_is_end, truncating, labels, no_template),
        *(language_model, encoder, token_classifier, headless, nemotron, armo, gated, internlm, blind, broken),
    )
}
