"""How many conversations a reward model scores in a second: one by one, and by `hf:` in batches.

    python benchmarks/rewards.py [FOLDER] [--count 512] [--dtype float32] [--device auto] [--rounds 3] [--threads N]

FOLDER holds a reward model with a chat template. Without one, a model with random weights is made that is so small
(--hidden, --layers) that a pass costs little more than its start, as on a GPU with a model of ordinary size. "One by
one" is how the method's reference code scores: a text-classification pipeline of transformers, one text at a time,
each templated, its BOS cut off where the tokenizer puts one back, and tokenised. (The reference cuts every BOS out of
the text, which changes it for models whose BOS starts each turn.) All ways use the same weights, dtype and device, and
take turns; the best round of each counts. "Arriving singly" is how the engine asks: one call an answer, all at once.
The more there are at once, the better they can be batched: 512 is what a run of fifty queries or so has waiting.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from tpo.messages import Conversation, answered, conversation
from tpo.rewards.hf.loading import load
from tpo.rewards.hf.reward import HfReward

TEMPLATE = "{% for m in messages %}{{ '<|' + m['role'] + '|>' + m['content'] + '<|end|>' }}{% endfor %}"
WORDS = ["the", "a", "table", "wood", "oil", "once", "year", "wipe", "damp", "cloth", "dry", "never", "sun", "water"]
BASE = "one by one, as the reference code"


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, and print a Markdown table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", nargs="?", type=Path)
    parser.add_argument("--count", type=int, default=512, help="conversations")
    parser.add_argument("--dtype", default="float32")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, help="of torch on a CPU")
    parser.add_argument("--hidden", type=int, default=64)
    parser.add_argument("--layers", type=int, default=2)
    options = parser.parse_args(arguments)
    if options.threads:
        import torch

        torch.set_num_threads(options.threads)
    with tempfile.TemporaryDirectory() as scratch:
        folder = options.folder or small_model(Path(scratch), options.hidden, options.layers)
        reward = HfReward(str(folder), dtype=options.dtype, device=options.device)
        talks = mixed(options.count)
        ways: dict[str, Callable[[], list[float]]] = {
            BASE: one_by_one(reward, talks),
            "`hf:`, all in one call": lambda: asyncio.run(_together(reward, talks)),
            "`hf:`, arriving singly": lambda: asyncio.run(_singly(reward, talks)),
        }
        report(reward, talks, ways, options.rounds)


def report(
    reward: HfReward, talks: list[Conversation], ways: dict[str, Callable[[], list[float]]], rounds: int
) -> None:
    """Time every way in turns, and print the results."""
    scores = {name: way() for name, way in ways.items()}
    best = dict.fromkeys(ways, float("inf"))
    for _ in range(rounds):
        for name, way in ways.items():
            began = time.perf_counter()
            scores[name] = way()
            best[name] = min(best[name], time.perf_counter() - began)
    lengths = sorted(len(row) for row in reward.encode(talks))
    middle, last = lengths[len(lengths) // 2], lengths[-1]
    print(f"{reward.name}: {len(talks)} conversations of {lengths[0]} to {last} tokens (median {middle})\n")
    print("| way | conversations/s | ratio | largest difference of a score |")
    print("| --- | --- | --- | --- |")
    for name in ways:
        off = max(abs(a - b) for a, b in zip(scores[BASE], scores[name], strict=True))
        print(f"| {name} | {len(talks) / best[name]:.1f} | {best[BASE] / best[name]:.2f} | {off:.1e} |")


def one_by_one(reward: HfReward, talks: list[Conversation]) -> Callable[[], list[float]]:
    """The reference code's way with the weights of `reward`."""
    import transformers

    loaded = load(reward.settings)
    tokenizer = loaded.tokenizer
    pipeline: Any = transformers.pipeline(
        "text-classification", model=loaded.model, tokenizer=tokenizer, device=loaded.model.device
    )

    adds_bos = tokenizer.bos_token_id is not None and tokenizer("x")["input_ids"][0] == tokenizer.bos_token_id

    def scored(talk: Conversation) -> float:
        text = tokenizer.apply_chat_template(talk, tokenize=False)
        if adds_bos:
            text = text.removeprefix(tokenizer.bos_token)
        return float(pipeline(text, function_to_apply="none", batch_size=1)[0]["score"])

    return lambda: [scored(talk) for talk in talks]


async def _together(reward: HfReward, talks: list[Conversation]) -> list[float]:
    return [score.value for score in await reward.score(talks)]


async def _singly(reward: HfReward, talks: list[Conversation]) -> list[float]:
    return [score.value for [score] in await asyncio.gather(*(reward.score([talk]) for talk in talks))]


def mixed(count: int) -> list[Conversation]:
    """Conversations with answers of 5 to 700 words, most of them short: what sampled answers look like."""
    dice = random.Random(7)
    sizes = [max(5, min(700, int(dice.lognormvariate(4.3, 0.9)))) for _ in range(count)]
    return [
        answered(conversation("How do I take care of a wooden table?"), " ".join(dice.choices(WORDS, k=size)))
        for size in sizes
    ]


def small_model(folder: Path, hidden: int, layers: int) -> Path:
    """A Llama with random weights, and a byte-level tokenizer."""
    import tokenizers
    import torch
    import transformers

    bpe = tokenizers.Tokenizer(tokenizers.models.BPE())
    bpe.pre_tokenizer = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False)
    trainer = tokenizers.trainers.BpeTrainer(
        vocab_size=400,
        special_tokens=["<|pad|>", "<|end|>", "<|user|>", "<|assistant|>"],
        initial_alphabet=tokenizers.pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    bpe.train_from_iterator([" ".join(WORDS)] * 2, trainer)
    tokenizer = transformers.PreTrainedTokenizerFast(tokenizer_object=bpe, pad_token="<|pad|>", eos_token="<|end|>")
    tokenizer.chat_template = TEMPLATE
    torch.manual_seed(0)
    config = transformers.LlamaConfig(
        vocab_size=400,
        hidden_size=hidden,
        intermediate_size=2 * hidden,
        num_hidden_layers=layers,
        num_attention_heads=4,
        max_position_embeddings=4096,
        initializer_range=0.1,
        num_labels=1,
        pad_token_id=0,
    )
    transformers.LlamaForSequenceClassification(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


if __name__ == "__main__":
    main()
