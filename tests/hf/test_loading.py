"""What is wrong with a model is told in one line; what is right is loaded once."""

from __future__ import annotations

import asyncio
import shutil
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tpo.errors import InputError, RewardError
from tpo.messages import answered, conversation
from tpo.rewards.hf.loading import load
from tpo.rewards.hf.reward import HfReward

pytestmark = pytest.mark.hf

Make = Callable[[str], Path]
TALK = answered(conversation("Where?"), "Here.")


@pytest.mark.parametrize(
    ("name", "options", "words"),
    [
        ("language_model", "", "is a language model (LlamaForCausalLM) without a reward head"),
        ("language_model", "", "?reward_token=INDEX"),
        ("encoder", "", "has no reward head (LlamaModel)"),
        ("token_classifier", "", "scores every token (LlamaForTokenClassification)"),
        ("headless", "", "its weights lack score.weight"),
        ("llama", "?reward_token=0", "is no language model"),
        ("no_template", "", "give one with ?chat_template=FILE.jinja"),
        ("no_template", "?chat_template=missing.jinja", "chat_template=missing.jinja cannot be read"),
        ("llama", "?weights=good:1", "gives one number of its own"),
        ("labels", "", "has 3 labels (good, safe, long): say what each weighs with ?weights=good:1,safe:1"),
        ("labels", "?weights=bad:1", "has no label 'bad'; it has good, safe, long"),
        ("armo", "", "brings Python of its own (LlamaForRewardModelWithGating)"),
        ("armo", "", "?trust_remote_code=true"),
        ("blind", "", "?trust_remote_code=true"),
        ("armo", "?trust_remote_code=true&weights=x:1", "leave weights out"),
        ("llama", "?device=cuda:99", "device=cuda:99"),
        ("llama", "?device=tpu", "is none of auto, cpu, cuda"),
    ],
)
def test_what_the_user_can_mend_is_reported(make: Make, name: str, options: str, words: str) -> None:
    with pytest.raises(InputError) as raised:
        HfReward.load(f"{make(name)}{options}")
    assert words in str(raised.value)
    assert "\n" not in str(raised.value)


def test_own_code_that_does_not_fit_is_reported(make: Make) -> None:
    with pytest.raises(RewardError, match=r"NoLongerThere.*may not fit transformers"):
        HfReward.load(f"{make('broken')}?trust_remote_code=true")


def test_weights_that_are_no_weights_are_reported(make: Make, tmp_path: Path) -> None:
    folder = tmp_path / "torn"
    shutil.copytree(make("llama"), folder)
    (folder / "model.safetensors").write_bytes(b"torn")
    with pytest.raises(RewardError, match="cannot be loaded: "):
        HfReward(str(folder))


@pytest.mark.parametrize(
    ("name", "error", "words"),
    [
        ("nobody/nothing", RewardError, "neither a folder here nor in the local cache, and the hub cannot be reached"),
        ("./nowhere", InputError, "there is no such folder"),
        ("a/b/c", InputError, "there is no such folder"),
        (".", InputError, "no usable config.json"),
    ],
)
def test_what_is_not_there_is_reported(
    make: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, error: type[Exception], words: str
) -> None:
    make("llama")
    # No test waits for a network that may not be there.
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(error, match=words):
        HfReward(name)


def test_a_missing_extra_is_reported(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "transformers", None)
    with pytest.raises(RewardError, match=r"pip install 'tpo\[hf\]'"):
        HfReward(str(make("llama")))


def test_a_template_from_a_file_is_used(make: Make, tmp_path: Path) -> None:
    template = tmp_path / "chat.jinja"
    template.write_text("{{ messages[-1]['content'] }}")
    reward = HfReward(str(make("no_template")), chat_template=str(template))
    assert [score.value for score in asyncio.run(reward.score([TALK]))]
    assert reward.encode([TALK]) == reward.encode([answered(conversation("When?"), "Here.")])


def test_a_model_is_loaded_once_and_runs_in_one_thread(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    first, second = HfReward(str(make("llama"))), HfReward(str(make("llama")), max_batch=2)
    loaded = load(first.settings)
    assert load(second.settings) is loaded
    assert load(HfReward(str(make("llama")), dtype="bfloat16").settings) is not loaded
    threads: set[str] = set()
    forward = loaded.model.forward

    def noticed(*args: Any, **kwargs: Any) -> Any:
        threads.add(threading.current_thread().name)
        return forward(*args, **kwargs)

    monkeypatch.setattr(loaded.model, "forward", noticed)

    async def both() -> None:
        await asyncio.gather(first.score([TALK]), second.score([TALK] * 5), HfReward(str(make("llama"))).score([TALK]))

    asyncio.run(both())
    assert len(threads) == 1 and threads != {threading.current_thread().name}


async def test_the_event_loop_goes_on_while_the_model_works(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    reward = HfReward(str(make("llama")))
    entered, release, run = threading.Event(), threading.Event(), reward._padding.run

    def slow(rows: Any) -> Any:
        entered.set()
        assert release.wait(30)
        return run(rows)

    monkeypatch.setattr(reward._padding, "run", slow)
    scoring = asyncio.create_task(reward.score([TALK]))
    assert await asyncio.to_thread(entered.wait, 30)
    release.set()
    assert len(await scoring) == 1


async def test_a_model_that_fails_is_reported(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    reward = HfReward(str(make("llama")))

    def broken(rows: Any) -> Any:
        raise RuntimeError("index out of range\nin self")

    monkeypatch.setattr(reward._padding, "run", broken)
    with pytest.raises(RewardError, match="failed: RuntimeError: index out of range in self"):
        await reward.score([TALK])


def test_names_distinguish_models_and_settings(make: Make, tmp_path: Path) -> None:
    copy = tmp_path / "llama"
    shutil.copytree(make("llama"), copy)
    name = HfReward(str(make("llama"))).name
    assert name == HfReward(str(copy)).name
    assert name.startswith("hf:llama@") and name.endswith("/float32")
    others = [HfReward(str(make("llama")), dtype="bfloat16"), HfReward(str(make("qwen")))]
    others += [HfReward(str(make("labels")), weights={"good": weight}) for weight in (1.0, 2.0)]
    assert len({name, *(other.name for other in others)}) == 5
    changed = shutil.copytree(copy, tmp_path / "changed" / "llama")
    (changed / "chat_template.jinja").write_text("{{ messages[-1]['content'] }}")
    assert HfReward(str(changed)).name != name


async def test_the_engine_marks_an_answer_that_is_too_long_and_goes_on(make: Make) -> None:
    import tpo
    from fakes import FakeModel

    lengths = iter([2, 400, 3])
    model = FakeModel(lambda request, index: "word " * next(lengths))
    reward = HfReward(str(make("llama")))
    # A random model passes no check of its sense.
    result = await tpo.align("Say it.", policy=model, reward=reward, method="best-of-n", width=3, check=False)
    failed = [candidate for candidate in result.candidates if candidate.error]
    assert len(failed) == 1 and len(result.candidates) == 3
    assert "the reward model takes 256" in f"{failed[0].error}{failed[0].feedback}"
    assert result.reward is not None
