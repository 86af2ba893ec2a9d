"""What of `hf:` needs no torch: options, batches, padding, gathering, recognising models."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tpo.errors import InputError, RewardError
from tpo.messages import Conversation, answered, conversation
from tpo.rewards.hf.loading import HfSettings
from tpo.rewards.hf.profiles import profile_for
from tpo.rewards.hf.reward import BatchThread, batches
from tpo.rewards.hf.scoring import padded, unused
from tpo.rewards.protocol import Score

LENGTHS = st.lists(st.integers(1, 3000), max_size=80)


def talk(answer: str) -> Conversation:
    return answered(conversation("Why?"), answer)


@given(LENGTHS, st.integers(1, 9), st.integers(1, 4000))
def test_every_sequence_is_in_one_batch_and_no_batch_is_too_large(lengths: list[int], most: int, tokens: int) -> None:
    made = list(batches(lengths, most, tokens))
    assert sorted(position for batch in made for position in batch) == list(range(len(lengths)))
    for batch in made:
        widest = max(lengths[position] for position in batch)
        assert 1 <= len(batch) <= most
        assert len(batch) == 1 or len(batch) * widest <= tokens


@given(LENGTHS)
def test_little_is_padding(lengths: list[int]) -> None:
    for batch in batches(lengths, 64, 16384):
        inside = [lengths[position] for position in batch]
        total = len(inside) * max(inside)
        assert total <= 256 or sum(inside) >= 0.9 * total


def test_the_longest_come_first() -> None:
    assert list(batches([5, 900, 7, 880], 64, 4096)) == [[1, 3], [2, 0]]


def test_rows_are_filled_up_on_the_right() -> None:
    assert padded([[1], [2, 3, 4]], 9) == [[1, 9, 9], [2, 3, 4]]


@given(st.lists(st.lists(st.integers(0, 30), min_size=1), min_size=1, max_size=5))
def test_padding_is_no_token_of_any_row(rows: list[list[int]]) -> None:
    assert all(unused(rows, 40, [None, 3, 99]) not in row for row in rows)


def test_padding_is_the_tokenizers_own_where_that_is_free() -> None:
    assert unused([[1, 2]], 40, [None, 3]) == 3
    assert unused([[0, 3]], 40, [None, 3, 400, -1]) == 1


def test_options_are_read() -> None:
    settings = HfSettings.parse("some/model?dtype=float32&device=cuda:1&trust_remote_code=true&max_batch=8&revision=v2")
    assert settings == HfSettings("some/model", "v2", "float32", "cuda:1", trust_remote_code=True, max_batch=8)
    assert HfSettings.parse("m?weights=good:0.5,a:b:-1&reward_token=3").weights == {"good": 0.5, "a:b": -1.0}


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "names no model"),
        ("?dtype=float32", "names no model"),
        ("m?dtyp=float32", "Did you mean dtype?"),
        ("m?colour=red", "Options are revision, dtype"),
        ("m?dtype=fp8", "dtype: Invalid enum value 'fp8' (known: auto, bfloat16, float16, float32)"),
        ("m?max_batch=many", "max_batch: Expected `int`"),
        ("m?max_batch=0", "max_batch is 0; it must be 1 or more"),
        ("m?max_batch_tokens=-1", "max_batch_tokens is -1"),
        ("m?trust_remote_code=perhaps", "trust_remote_code: Expected `bool`"),
        ("m?weights=good", "not a list of NAME:NUMBER"),
        ("m?weights=good:much", "Expected `float`"),
    ],
)
def test_bad_options_are_named(text: str, words: str) -> None:
    with pytest.raises(InputError) as raised:
        HfSettings.parse(text)
    assert words in str(raised.value)


@pytest.mark.parametrize(
    ("name", "architecture", "kind"),
    [
        ("Skywork/Skywork-Reward-V2-Qwen3-0.6B", "Qwen3ForSequenceClassification", "sequence classifier"),
        ("sfairXC/FsfairX-LLaMA3-RM-v0.1", "LlamaForSequenceClassification", "sequence classifier"),
        ("RLHFlow/ArmoRM-Llama3-8B-v0.1", "LlamaForRewardModelWithGating", "ArmoRM"),
        ("someone/else", "LlamaForRewardModelWithGating", "gated heads"),
        ("internlm/internlm2-7b-reward", "InternLM2ForRewardModel", "InternLM2 reward"),
        ("nvidia/Llama-3.1-Nemotron-70B-Reward-HF", "LlamaForCausalLM", "Nemotron reward"),
        ("nvidia/Llama-3.1-Nemotron-70B-Instruct-HF", "LlamaForCausalLM", None),
        (
            "OpenAssistant/reward-model-deberta-v3-large-v2",
            "DebertaV2ForSequenceClassification",
            "OpenAssistant reward",
        ),
        ("Qwen/Qwen2.5-Math-PRM-7B", "Qwen2ForProcessRewardModel", None),
        ("BAAI/bge-m3", "XLMRobertaModel", None),
    ],
)
def test_models_are_recognised(name: str, architecture: str, kind: str | None) -> None:
    profile = profile_for(name, {"architectures": [architecture]})
    assert (profile and profile.kind) == kind


def test_a_token_makes_any_language_model_a_reward() -> None:
    profile = profile_for("any", {"architectures": ["Qwen3ForCausalLM"]}, 5)
    assert profile is not None and (profile.output, profile.token) == ("vocabulary", 5)
    assert profile_for("any", {"architectures": ["Qwen3ForSequenceClassification"]}, 5) is None


def test_naming_it_loads_nothing_heavy() -> None:
    code = "import sys, tpo.rewards.hf.reward; print({'torch', 'transformers', 'numpy'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


class Work:
    """Scores by the answer's length, once it is let go; remembers what came together."""

    def __init__(self) -> None:
        self.together: list[int] = []
        self.entered, self.release = threading.Event(), threading.Event()

    def __call__(self, talks: list[Conversation]) -> Iterator[tuple[int, Score]]:
        self.together.append(len(talks))
        self.entered.set()
        assert self.release.wait(30)
        for position in reversed(range(len(talks))):
            if talks[position][-1]["content"] == "raise":
                raise RewardError("broken")
            yield position, Score(float(len(talks[position][-1]["content"])))


async def test_what_comes_while_the_model_is_busy_goes_together() -> None:
    work = Work()
    with ThreadPoolExecutor(1) as thread:
        gather = BatchThread(work, thread)
        first = asyncio.create_task(gather([talk("a")]))
        assert await asyncio.to_thread(work.entered.wait, 30)
        others = [asyncio.create_task(gather([talk("b" * n), talk("c" * n)])) for n in range(1, 5)]
        cancelled = asyncio.create_task(gather([talk("d")]))
        await asyncio.sleep(0)
        cancelled.cancel()
        await asyncio.wait([cancelled])
        work.release.set()
        assert await first == [Score(1.0)]
        assert await asyncio.gather(*others) == [[Score(float(n))] * 2 for n in range(1, 5)]
    assert work.together == [1, 8]


async def test_an_error_reaches_every_call_that_waits_for_it_and_no_later_one() -> None:
    work = Work()
    work.release.set()
    with ThreadPoolExecutor(1) as thread:
        gather = BatchThread(work, thread)
        with pytest.raises(RewardError, match="broken"):
            await gather([talk("raise"), talk("fine")])
        assert await gather([talk("fine")]) == [Score(4.0)]
        assert await gather([]) == []


def test_several_event_loops_are_served() -> None:
    work = Work()
    work.release.set()
    with ThreadPoolExecutor(1) as thread:
        gather = BatchThread(work, thread)
        assert [asyncio.run(gather([talk("a")])) for _ in range(2)] == [[Score(1.0)]] * 2
