"""Which reward model a user names, and loading it once a process, with a clear line for whatever is wrong with it."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, TypeAlias, get_args

import msgspec

from tpo import specs
from tpo.errors import InputError, RewardError
from tpo.rewards.hf.profiles import RewardProfile, profile_for

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
                raise InputError(f"hf:{self.model}: {name} is {value}; it must be 1 or more.")

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
    """The settings, with their values checked.

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


INSTALL = "pip install 'tpo[hf]'"

# Some tokenizers give 10**30 tokens as their limit, which means that it was never set.
SANE_LENGTH = 10_000_000


@dataclass(frozen=True)
class Loaded:
    """A model that is ready to score.

    Attributes:
        model: the model, in inference mode on its device.
        tokenizer: its tokenizer.
        profile: how it is fed and read.
        dtype: of its weights, by name.
        version: what distinguishes these weights from others of the same name.
        limit: most tokens that it takes; None if it has no limit.
        padding: the token id that its config names as padding, if it is one. Kept here, for a pass may change the
            config while another reward is made of the same model.
        own_code: it runs Python that it brought with it.
        thread: the one thread in which it runs: waiting calls occupy no other, and no call meets another in it.
    """

    model: Any
    tokenizer: Any
    profile: RewardProfile
    dtype: str
    version: str
    limit: int | None
    padding: int | None
    own_code: bool
    thread: ThreadPoolExecutor = field(default_factory=lambda: ThreadPoolExecutor(1, thread_name_prefix="tpo-hf"))

    @property
    def on_cpu(self) -> bool:
        """Whether it runs on the CPU."""
        return bool(self.model.device.type == "cpu")


_LOADED: dict[tuple[Any, ...], Loaded] = {}
_LOCK = threading.Lock()


def load(settings: HfSettings) -> Loaded:
    """Load a model, or find it loaded by this process with the same dtype on the same device.

    Raises:
        InputError: there is no such model, it is no reward model, or it needs an option that was not given.
        RewardError: the extra is not installed, or the model exists but cannot be loaded.
    """
    label = f"hf:{settings.model}"
    try:
        import torch
        import transformers
    except ImportError as error:
        raise RewardError(f"{label} needs torch and transformers ({error}): {INSTALL}") from error
    device = _device(torch, settings.device, label)
    dtype = settings.dtype if settings.dtype != "auto" else _dtype(torch, device)
    place = settings.model if not Path(settings.model).exists() else str(Path(settings.model).resolve())
    key = (place, settings.revision, dtype, device, settings.trust_remote_code, settings.reward_token)
    with _LOCK:
        if key not in _LOADED:
            with quiet():
                _LOADED[key] = _load(torch, transformers, settings, device, dtype)
        return _LOADED[key]


@contextmanager
def quiet() -> Iterator[None]:
    """Keep transformers from warning of what is checked here, such as missing weights and pad tokens."""
    import transformers

    verbosity = transformers.logging.get_verbosity()
    transformers.logging.set_verbosity_error()
    try:
        yield
    finally:
        transformers.logging.set_verbosity(verbosity)


def _load(torch: Any, transformers: Any, settings: HfSettings, device: str, dtype: str) -> Loaded:
    label = f"hf:{settings.model}"
    where = {"revision": settings.revision} if settings.revision else {}
    trust = {"trust_remote_code": settings.trust_remote_code}
    try:
        config, _ = transformers.PretrainedConfig.get_config_dict(settings.model, **where)
        if "model_type" not in config:
            raise ValueError("no config.json, or not that of a model")
    except Exception as error:
        raise _not_found(settings, error) from error
    profile = profile_for(settings.model, config, settings.reward_token)
    if profile is None:
        raise InputError(f"{label} {_no_reward(config, settings.reward_token)}")
    known = hasattr(transformers, config["architectures"][0])
    own_code = profile.own_code or (not known and "auto_map" in config)
    if own_code and not settings.trust_remote_code:
        raise _untrusted(settings.model, config["architectures"][0])
    try:
        tokenizer = transformers.AutoTokenizer.from_pretrained(settings.model, **where, **trust)
        # A map puts the weights where they belong as they are read; on a CPU there is nowhere else to put them.
        places = {} if device == "cpu" else {"device_map": "auto" if device == "spread" else {"": device}}
        model, report = getattr(transformers, profile.loader).from_pretrained(
            settings.model, dtype=getattr(torch, dtype), output_loading_info=True, **where, **trust, **places
        )
    except Exception as error:
        if "trust_remote_code" in str(error) and not settings.trust_remote_code:
            raise _untrusted(settings.model, "its tokenizer or config") from error
        raise RewardError(f"{label} cannot be loaded: {_why(error, own_code, transformers.__version__)}") from error
    missing = sorted(report["missing_keys"])
    if missing:
        raise InputError(
            f"{label} has no trained reward head: its weights lack {', '.join(missing[:3])}"
            f"{' and more' if len(missing) > 3 else ''}. Name a model that was trained as a reward model."
        )
    # Nothing is generated, so a cache of keys and values has no use.
    model.config.get_text_config().use_cache = False
    model.eval()
    version, limit = _version(settings.model, config), _limit(model, tokenizer)
    return Loaded(model, tokenizer, profile, dtype, version, limit, _padding(model), own_code)


def _device(torch: Any, wanted: str, label: str) -> str:
    cuda, mps = torch.cuda.is_available(), torch.backends.mps.is_available()
    if wanted == "auto":
        return "cuda" if cuda else "mps" if mps else "cpu"
    kind, _, number = wanted.partition(":")
    there = {"cpu": True, "cuda": cuda, "spread": cuda, "mps": mps}.get(kind)
    if there is None:
        raise InputError(f"{label}: device={wanted} is none of auto, cpu, cuda, cuda:N, mps, spread.")
    if number and not (number.isdecimal() and (kind != "cuda" or int(number) < torch.cuda.device_count())):
        raise InputError(f"{label}: device={wanted} is not there; torch sees {torch.cuda.device_count()} GPUs.")
    if not there:
        raise InputError(f"{label}: device={wanted} cannot be used: torch sees no such device here.")
    return wanted


def _dtype(torch: Any, device: str) -> str:
    if device == "cpu":
        return "float32"
    # Cards before Ampere compute bfloat16 by way of float32, slowly.
    native = not device.startswith(("cuda", "spread")) or torch.cuda.is_bf16_supported(including_emulation=False)
    return "bfloat16" if native else "float16"


def _limit(model: Any, tokenizer: Any) -> int | None:
    text = model.config.get_text_config()
    limits = (getattr(text, "max_position_embeddings", None), getattr(tokenizer, "model_max_length", None))
    return min((int(limit) for limit in limits if limit is not None and 0 < limit < SANE_LENGTH), default=None)


def _padding(model: Any) -> int | None:
    text = model.config.get_text_config()
    named: int | None = getattr(text, "pad_token_id", None)
    return named if named is not None and 0 <= named < text.vocab_size else None


def _version(name: str, config: Mapping[str, Any]) -> str:
    if Path(name).is_dir():
        return fingerprint(Path(name))
    return str(config.get("_commit_hash") or "unknown")[:12]


def _no_reward(config: Mapping[str, Any], token: int | None) -> str:
    architecture = ", ".join(config.get("architectures") or ()) or f"model type {config.get('model_type')}"
    if token is not None:
        return f"is no language model ({architecture}), so reward_token={token} means nothing; leave it out."
    if "ForCausalLM" in architecture:
        return (
            f"is a language model ({architecture}) without a reward head. Name a reward model; if the logit of one "
            f"token is this one's reward, say which with ?reward_token=INDEX."
        )
    if "ProcessReward" in architecture or "TokenClassification" in architecture:
        return f"scores every token ({architecture}), not the whole answer. Name a sequence-classification model."
    return f"has no reward head ({architecture}): it is an encoder or embedding model. Name a reward model."


def _untrusted(model: str, what: str) -> InputError:
    return InputError(
        f"hf:{model} brings Python of its own ({what}), which runs only if you trust it: "
        f"hf:{model}?trust_remote_code=true"
    )


def _not_found(settings: HfSettings, error: Exception) -> InputError | RewardError:
    name, label = settings.model, f"hf:{settings.model}"
    path = Path(name)
    if path.is_dir():
        return InputError(f"{label}: the folder has no usable config.json: is it a Hugging Face model?")
    if path.is_absolute() or name.startswith((".", "~", "\\")) or name.count("/") > 1:
        return InputError(f"{label}: there is no such folder.")
    kinds = {type(cause).__name__ for cause in _causes(error)}
    text = str(error).lower()
    if "GatedRepoError" in kinds or "gated" in text:
        return InputError(f"{label} is gated: accept its terms on the hub, and set HF_TOKEN to your token.")
    if "RevisionNotFoundError" in kinds:
        return InputError(f"{label} has no revision {settings.revision!r}.")
    if "RepositoryNotFoundError" in kinds or "HFValidationError" in kinds:
        return InputError(f"{label} is not on the hub: check the name; a private model needs HF_TOKEN.")
    if "EntryNotFoundError" in kinds or "RemoteEntryNotFoundError" in kinds:
        return InputError(f"{label} has no config.json: it is no transformers model (an adapter must be merged first).")
    return RewardError(
        f"{label} is neither a folder here nor in the local cache, and the hub cannot be reached: check the name and "
        f"the network (HF_HUB_OFFLINE, HF_ENDPOINT), or name a folder."
    )


def _why(error: Exception, own_code: bool, version: str) -> str:
    message = " ".join(str(error).split())
    message = message if len(message) <= 300 else f"{message[:299]}…"
    text = f"{type(error).__name__}: {message}"
    if "out of memory" in message.lower():
        return f"{text} (Use a smaller model, dtype=bfloat16, device=cpu, or device=spread over several GPUs.)"
    if own_code:
        return f"{text} (The model's own code may not fit transformers {version}: see its card for one that does.)"
    return text


def _causes(error: BaseException | None) -> list[BaseException]:
    causes: list[BaseException] = []
    while error is not None:
        causes.append(error)
        error = error.__cause__ or error.__context__
    return causes


_KINDS = (".json", ".jinja", ".model", ".txt", ".py", ".safetensors", ".bin")
_BLOCK = 65536
_BLOCKS = 64


def fingerprint(folder: Path) -> str:
    """Twelve hex digits that change with the weights, the tokenizer, the config or the code.

    Args:
        folder: a model in transformers' layout. Of large files, 64 blocks at even distances count: training moves
            all weights, so that is enough to distinguish two checkpoints, and takes no time for 100 GB either.
    """
    digest = hashlib.sha256()
    for path in sorted(path for path in folder.iterdir() if path.suffix in _KINDS and path.is_file()):
        size = path.stat().st_size
        digest.update(f"{path.name}\0{size}\0".encode())
        with path.open("rb") as file:
            if size <= _BLOCK * _BLOCKS:
                digest.update(file.read())
                continue
            for block in range(_BLOCKS):
                file.seek(block * (size - _BLOCK) // (_BLOCKS - 1))
                digest.update(file.read(_BLOCK))
    return digest.hexdigest()[:12]
