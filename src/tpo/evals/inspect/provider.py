"""`--model tpo/…`: any Inspect task answered by a search, with its steps in the transcript.

inspect eval math.py --model tpo/embedded
inspect eval math.py --model tpo/qwen3:best-of-8 --model-base-url http://localhost:8000/v1 -M reward=vllm:http://…
"""

from __future__ import annotations

import asyncio
import re
from typing import Any

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
from tpo.errors import InputError, ModelUnavailable, RewardUnavailable
from tpo.http.failures import ContextOverflow
from tpo.methods.presets import Preset, parse_preset
from tpo.options import SearchOptions, table
from tpo.server.protocols.chat import ChatRenderer, chat_request
from tpo.server.request_options import Bounds, RequestOptions
from tpo.server.response import SearchResult
from tpo.server.service import Service, Setup

# Searches at once; what the model's server gets is found out by itself.
CONNECTIONS = 64
BOUNDS = Bounds(width=1024, depth=100, seconds=None, message=None)

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
        model_name: `embedded`, `gguf:PATH`, the URL of an OpenAI-compatible server, or with a base URL the model's name
            there; a preset may follow behind a colon (`embedded:best-of-5`, `embedded:sample` for no alignment).
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
        options = {name: value for name, value in configured.options.items() if name in known} | model_args
        if odd := sorted(model_args.keys() - known.keys()):
            raise InputError(f"-M {odd[0]} is no option of tpo's: known are {', '.join(sorted(known))}.")
        name, self._preset = _named(model_name)
        if base_url is None:
            options["policy"] = name
        else:
            options |= {"policy": base_url, "policy_model": name}
        require = options.get("require", ())
        options |= {"require": [require] if isinstance(require, str) else require, "rewards": configured.rewards}
        self._setup = Setup(options=options, bounds=BOUNDS)  # type: ignore[arg-type]
        self._services: dict[int, Service] = {}

    async def generate(
        self, input: list[ChatMessage], tools: list[ToolInfo], tool_choice: ToolChoice, config: GenerateConfig
    ) -> ModelOutput | tuple[ModelOutput | Exception, ModelCall]:
        """Answer; see `inspect_ai.model.ModelAPI`."""
        service = await self._service()
        body = await _body(input, tools, tool_choice, config)
        model = service.models.names[0]
        options = service.options(chat_request({**body, "model": model}), self._preset)
        renderer = ChatRenderer(self.model_name)
        try:
            found = await service.answer(options, model, renderer.id, 0.0, lambda event: None, lambda tokens: None)
        except ContextOverflow as error:
            return ModelOutput.from_content(self.model_name, str(error), "model_length")
        completion = renderer.whole([found.response()])
        _write_steps(found)
        output = await model_output_from_openai(completion)
        output.metadata = {**(output.metadata or {}), "tpo": completion["tpo"], "usage": completion["usage"]["tpo"]}
        output.time = found.result.seconds
        return output, ModelCall.create(_request(options, body), completion)

    async def _service(self) -> Service:
        # Connections belong to a loop, and Inspect may run several one after another.
        loop = id(asyncio.get_running_loop())
        if loop not in self._services:
            self._services = {loop: Service(self._setup)}
        await self._services[loop].open_once()
        return self._services[loop]

    async def aclose(self) -> None:
        """Let go of connections."""
        services, self._services = self._services, {}
        for service in services.values():
            await service.aclose()

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


def _request(options: RequestOptions, body: dict[str, Any]) -> dict[str, Any]:
    """What is shown as the call: the request, and how it was searched."""
    spec = options.spec
    return {**body, "tpo": {"method": spec.method.name, "width": spec.width, "depth": spec.depth}}


def _write_steps(found: SearchResult) -> None:
    """Put the steps into the transcript, for `inspect view`; one answer alone is no search."""
    if len(found.result.candidates) == 1:
        return
    for text in told_steps(found.result):
        transcript().info(text, source="tpo")


def told_steps(result: Result) -> list[str]:
    """The steps of a search as Markdown, a text for each."""
    told = []
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
        told.append("\n\n".join(lines))
    return told


def _fenced(text: str) -> str:
    """A text that Markdown leaves as it is."""
    fence = "`" * (max((len(ticks) for ticks in re.findall("`+", text)), default=2) + 1)
    fence = fence.ljust(3, "`")
    return f"{fence}text\n{text}\n{fence}"
