"""`--model tpo/…`: any Inspect task answered by a search, with its steps in the transcript.

inspect eval math.py --model tpo/embedded
inspect eval math.py --model tpo/qwen3:best-of-8 --model-base-url http://localhost:8000/v1 -M reward=vllm:http://…
"""

from __future__ import annotations

import asyncio
import re
import time
from typing import Any
from uuid import uuid4

from inspect_ai.log import transcript
from inspect_ai.model import (
    ChatMessage,
    GenerateConfig,
    ModelAPI,
    ModelCall,
    ModelOutput,
    messages_to_openai,
    model_output_from_openai,
)
from inspect_ai.tool import ToolChoice, ToolFunction, ToolInfo

from tpo.config import load_config
from tpo.engine.result import Result
from tpo.errors import InputError, ModelUnavailable, RewardUnavailable, TPOError
from tpo.http.failures import ContextOverflow
from tpo.methods.presets import Preset, parse_preset
from tpo.options import SearchOptions, default, table
from tpo.session.output_format import OutputFormat, format_rules
from tpo.session.response import Completion, SearchResult, best_of
from tpo.session.session import Session
from tpo.session.spec import Spec

# Searches at once; what the model's server gets is found out by itself.
CONNECTIONS = 64

# Inspect's names of settings that go to the policy under another one, or as they are.
_SETTINGS = {
    "temperature": "temperature",
    "top_p": "top_p",
    "seed": "seed",
    "max_tokens": "max_tokens",
    "num_choices": "n",
    "stop_seqs": "stop",
} | {
    name: name
    for name in (
        *("frequency_penalty", "presence_penalty", "logit_bias", "top_k", "logprobs", "top_logprobs"),
        *("parallel_tool_calls", "reasoning_effort"),
    )
}
_CHOICES = {"auto": "auto", "any": "required", "none": "none"}


class TpoAPI(ModelAPI):
    """Models that answer by a search.

    Args:
        model_name: `embedded`, `gguf:PATH`, `hub:ORG/REPO[:FILE]`, the URL of an OpenAI-compatible server, or with a
            base URL the model's name there; a preset may follow behind a colon (`embedded:best-of-5`,
            `embedded:sample` for no alignment).
        base_url: the server's URL, where the name is a model's.
        api_key: the server's key; otherwise it comes from TPO_API_KEY, as for `tpo align`.
        config: Inspect's own settings.
        model_args: the options of `tpo.align` (`-M width=8 -M reward=…`); `require` is a list, or one rule. Rewards may
            be named in tpo.toml, whose other settings count too.
    """

    def __init__(
        self,
        model_name: str,
        base_url: str | None = None,
        api_key: str | None = None,
        config: GenerateConfig = GenerateConfig(),  # noqa: B008
        **model_args: Any,
    ) -> None:
        super().__init__(model_name, base_url, api_key, [], config)
        known = table(SearchOptions)
        configured = load_config(None)
        given = configured.options
        options = {name: given[entry.flag] for name, entry in known.items() if entry.flag in given}
        if odd := sorted(model_args.keys() - known.keys()):
            raise InputError(f"-M {odd[0]} is no option of tpo's: known are {', '.join(sorted(known))}.")
        name, self._preset = _named(model_name)
        usual = options.get("method", default("method"))
        method = model_args.get("method", usual) if self._preset is None else self._preset.method
        if method != usual:
            options.pop("settings", None)  # those of the file's method
        options |= model_args
        if base_url is None:
            options["policy"] = name
        else:
            options |= {"policy": base_url, "policy_model": name}
        require = options.get("require", ())
        options |= {"require": [require] if isinstance(require, str) else require, "rewards": configured.rewards}
        if self._preset is not None:
            preset = {"method": self._preset.method, "width": self._preset.width, "depth": self._preset.depth}
            options |= {name: value for name, value in preset.items() if value is not None}
        self._options: dict[str, Any] = options
        self._sessions: dict[int, Session] = {}
        self._opening = asyncio.Lock()

    async def generate(
        self, input: list[ChatMessage], tools: list[ToolInfo], tool_choice: ToolChoice, config: GenerateConfig
    ) -> ModelOutput | tuple[ModelOutput | Exception, ModelCall]:
        """Answer; see `inspect_ai.model.ModelAPI`."""
        session = await self._session()
        body = await _body(input, tools, tool_choice, config)
        changes, n = _changes(body, session.spec)
        output = OutputFormat(
            format_rules(body.get("response_format")),
            body.get("tools", []) if body.get("tool_choice") != "none" else [],
            body.get("tool_choice"),
        )
        error = None
        try:
            # Inspect shows progress by itself.
            result = await session.align(body["messages"], output=output, on_event=lambda _: None, **changes)
        except ContextOverflow as overflow:  # the conversation itself is too long
            return ModelOutput.from_content(self.model_name, str(overflow), "model_length")
        except TPOError as failure:
            if failure.partial is None or not failure.partial.answer:
                raise
            result, error = failure.partial, str(failure)
        completion = _completion(self.model_name, SearchResult(result, best_of(result, n), error).response())
        _write_steps(result)
        answer = await model_output_from_openai(completion)
        answer.metadata = {**(answer.metadata or {}), "tpo": completion["tpo"], "usage": completion["usage"]["tpo"]}
        answer.time = result.seconds
        search = {"method": result.method, "width": result.width, "depth": result.depth}
        return answer, ModelCall.create({**body, "tpo": search}, completion)

    async def _session(self) -> Session:
        # Connections belong to a loop, and Inspect may run several one after another.
        loop = id(asyncio.get_running_loop())
        async with self._opening:
            if loop not in self._sessions:
                session = Session(**self._options)
                await session.open()
                self._sessions = {loop: session}
        return self._sessions[loop]

    async def aclose(self) -> None:
        """Close all connections."""
        sessions, self._sessions = self._sessions, {}
        for session in sessions.values():
            await session.aclose()

    def max_connections(self) -> int:
        """Searches at once, unless `--max-connections` says otherwise."""
        return CONNECTIONS

    def connection_key(self) -> str:
        """What shares these connections."""
        return f"tpo/{self.base_url or self.model_name}"

    def should_retry(self, ex: BaseException) -> bool:
        """Whether Inspect should try again: a server that is down or full may come back."""
        return isinstance(ex, ModelUnavailable | RewardUnavailable)


def _named(text: str) -> tuple[str, Preset | None]:
    """A model and its preset, if it has one; what is behind a colon may also be a part of the model's name."""
    name, colon, preset = text.rpartition(":")
    if colon:
        try:
            return name, parse_preset(preset)
        except InputError:
            pass
    return text, None


async def _body(
    input: list[ChatMessage], tools: list[ToolInfo], tool_choice: ToolChoice, config: GenerateConfig
) -> dict[str, Any]:
    messages = [dict(message) for message in await messages_to_openai(input)]
    body: dict[str, Any] = {"messages": messages}
    for name, sent in _SETTINGS.items():
        if (value := getattr(config, name, None)) is not None:
            body[sent] = value
    if tools:
        body["tools"] = [
            {"type": "function", "function": tool.model_dump(exclude={"options"}, exclude_none=True)} for tool in tools
        ]
        body["tool_choice"] = (
            {"type": "function", "function": {"name": tool_choice.name}}
            if isinstance(tool_choice, ToolFunction)
            else _CHOICES[tool_choice]
        )
    if config.response_schema is not None:
        schema = config.response_schema
        shape = {"name": schema.name, "schema": schema.json_schema.model_dump(exclude_none=True)}
        body["response_format"] = {"type": "json_schema", "json_schema": {**shape, "strict": bool(schema.strict)}}
    return body | (config.extra_body or {})


def _changes(body: dict[str, Any], spec: Spec) -> tuple[dict[str, Any], int]:
    """What a request changes for its own search, and how many answers it wants."""
    own = dict(body.pop("tpo", None) or {})
    n = body.get("n") or 1
    changes = own | {name: body[name] for name in ("temperature", "top_p", "seed", "max_tokens") if name in body}
    if n > 1:  # the n best are chosen among at least n
        changes["width"] = max(own.get("width", spec.width), n)
    ours = {"messages", "n", *changes}
    changes["extra"] = {**spec.settings.extra, **{name: value for name, value in body.items() if name not in ours}}
    return changes, n


def _completion(model: str, response: Completion) -> dict[str, Any]:
    """The answers as a chat completion, which Inspect reads."""
    usage = response.usage
    choices = []
    for index, candidate in enumerate(response.candidates):
        message = {"role": "assistant", "content": candidate.text, "refusal": None, **(candidate.message or {})}
        if thought := response.thoughts.get(candidate.id):
            message["reasoning_content"] = thought
        reason = response.finish_reason(index)
        choices.append({"index": index, "message": message, "logprobs": candidate.logprobs, "finish_reason": reason})
    return {
        "id": f"tpo-{uuid4().hex}",
        "object": "chat.completion",
        "created": int(time.time()),
        "model": model,
        "choices": choices,
        "usage": {
            "prompt_tokens": usage.prompt_tokens,
            "completion_tokens": usage.completion_tokens,
            "total_tokens": usage.total_tokens,
            "prompt_tokens_details": {"cached_tokens": usage.cached_tokens},
            "tpo": usage.details,
        },
        "tpo": response.search,
    }


def _write_steps(result: Result) -> None:
    """Put the steps into the transcript, for `inspect view`; one answer alone is no search."""
    if len(result.candidates) == 1:
        return
    for text in steps_as_markdown(result):
        transcript().info(text, source="tpo")


def steps_as_markdown(result: Result) -> list[str]:
    """The steps of a search as Markdown, a text for each."""
    texts = []
    for step in result.steps:
        lines = [f"**Step {step.step}**"]
        if step.chosen and step.rejected:
            lines.append(f"{step.chosen} is better than {step.rejected}.")
        for name, text in (("Critique", step.loss), ("Advice", step.gradient)):
            if text:
                lines += [f"*{name}*", _fenced(text)]
        for candidate in step.candidates:
            reward = "no reward" if candidate.reward is None else f"reward {candidate.reward:.4g}"
            mark = " (the answer)" if candidate.id == result.chosen else ""
            lines += [f"{candidate.id}: {reward}{mark}", _fenced(candidate.error or candidate.text)]
        texts.append("\n\n".join(lines))
    return texts


def _fenced(text: str) -> str:
    """A text that Markdown leaves as it is."""
    fence = "`" * (max((len(ticks) for ticks in re.findall("`+", text)), default=2) + 1)
    fence = fence.ljust(3, "`")
    return f"{fence}text\n{text}\n{fence}"
