"""From what a user writes to a model: a URL, `embedded`, or `gguf:PATH`."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import msgspec

from tpo.errors import InputError, ModelError, ModelUnavailable
from tpo.http.endpoint import OPENAI_HOST, Endpoint
from tpo.http.failures import explained, refused, server_message
from tpo.http.retry import retrying
from tpo.models.openai import OpenAIModel
from tpo.models.profiles import Profile, profile_for

EMBEDDED = "embedded"
GGUF = "gguf:"
TIMEOUT = httpx.Timeout(30.0, connect=10.0)


async def open_model(
    spec: str, role: str, model: str | None = None, progress: Callable[[str], None] = lambda line: None
) -> OpenAIModel:
    """Connect to a model and find out what serves it.

    Args:
        spec: an http(s) URL, `embedded`, or `gguf:PATH`.
        role: policy, critic or editor; decides which key is used.
        model: the model's name; found by itself where one model is served.
        progress: told in a line of what takes long.

    Raises:
        InputError: the spec is none of these, or a model must be named.
        ModelError: the server cannot be reached or refuses.
    """
    if spec == EMBEDDED or spec.startswith(GGUF):
        return await _open_embedded(spec, role, progress)
    if "://" not in spec:
        raise InputError(
            f"{spec!r} is no model: give a URL such as http://localhost:8000/v1, {EMBEDDED}, or {GGUF}PATH."
        )
    return await connect(Endpoint(spec, role), role, model)


async def served_models(spec: str, role: str) -> list[str]:
    """The names of the models that a server lists; none where the spec is no URL, or the server lists nothing.

    Args:
        spec: as for `open_model`, or several with commas between them, of which the first is asked.
        role: policy, critic or editor; decides which key is used.

    Raises:
        ModelError: the server cannot be reached or refuses.
    """
    first = spec.partition(",")[0].strip()
    if "://" not in first:
        return []
    endpoint = Endpoint(first, role)
    async with endpoint.client(TIMEOUT) as client:
        listed = await _get(client, endpoint, endpoint.at("models"), f"{endpoint.shown}/models")
    return [str(card["id"]) for card in _cards(listed)]


def _cards(listed: dict[str, Any] | None) -> list[dict[str, Any]]:
    return [card for card in (listed or {}).get("data") or [] if isinstance(card, dict) and card.get("id")]


async def _open_embedded(spec: str, role: str, progress: Callable[[str], None]) -> OpenAIModel:
    from tpo.models import embedded, weights

    if spec == EMBEDDED:
        path = await asyncio.to_thread(weights.smollm2, progress)
    else:
        path = Path(spec.removeprefix(GGUF))
    server = await asyncio.to_thread(embedded.start, path)
    # A proxy has no business between a process and itself.
    endpoint = Endpoint(server.url, role, server.api_key, proxied=False)
    # The port changes with every start; the file is what identifies the model.
    model = await connect(endpoint, role, server.name, name=f"{server.name} (embedded)")
    model.profile = msgspec.structs.replace(model.profile, room=server.context, prefix=True)
    return model


async def connect(endpoint: Endpoint, role: str, model: str | None = None, *, name: str | None = None) -> OpenAIModel:
    """Ask a server what it serves, and open the model that was named, or the only one."""
    async with endpoint.client(TIMEOUT) as client:
        listed = await _get(client, endpoint, endpoint.at("models"), f"{endpoint.shown}/models")
        if listed is None and model is None:
            raise ModelError(
                f"{endpoint.shown} lists no models: name one with --{role}-model, or check the URL "
                f"(it usually ends in /v1)."
            )
        cards = _cards(listed)
        served = tuple(str(card["id"]) for card in cards)
        if model is None:
            if len(served) != 1:
                names = f"serves {', '.join(served)}" if served else "serves no model"
                raise InputError(f"{endpoint.shown} {names}: name one with --{role}-model.")
            model = served[0]
        card = next((card for card in cards if card["id"] == model), cards[0] if len(cards) == 1 else {})
        profile = await _profile(client, endpoint, str(card.get("owned_by", "")))
        details: dict[str, Any] = card.get("meta") or {}
        context = card.get("max_model_len") or details.get("n_ctx")
    return OpenAIModel(endpoint, model, profile, context if isinstance(context, int) else None, served, name)


async def _profile(client: httpx.AsyncClient, endpoint: Endpoint, owned_by: str) -> Profile:
    if endpoint.host == OPENAI_HOST:
        owned_by = OPENAI_HOST
    profile = profile_for(owned_by)
    root = endpoint.shown.removesuffix("/v1")
    if owned_by == "vllm":
        version = await _get(client, endpoint, endpoint.beside("version"), f"{root}/version")
        if version and str(version.get("version", "")).endswith("+cpu"):
            return profile_for("vllm+cpu")
    if owned_by == "llamacpp":
        slots = (await _get(client, endpoint, endpoint.beside("props"), f"{root}/props") or {}).get("total_slots")
        if isinstance(slots, int) and slots > 0:
            return msgspec.structs.replace(profile, max_choices=slots, parallel=slots, slots=True)
    return profile


async def _get(client: httpx.AsyncClient, endpoint: Endpoint, address: str, url: str) -> dict[str, Any] | None:
    """A JSON object, or None where the server has no such page."""
    tried: list[float] = []
    try:
        async for attempt in retrying(lambda error, wait: tried.append(wait), tries=3):
            with attempt, explained(url):
                response = await client.get(address)
                if response.status_code == 404:
                    return None
                if response.status_code != 200:
                    raise refused(response, url, endpoint.key_variable)
    except ModelUnavailable as error:
        raise ModelUnavailable(endpoint.redact(f"{error} Tried {len(tried) + 1} times.")) from error
    except ModelError as error:
        raise ModelError(endpoint.redact(str(error))) from error
    try:
        value = msgspec.json.decode(response.content)
    except msgspec.DecodeError as error:
        said = server_message(response.text)
        raise ModelError(
            f"{url} answered no JSON ({said}): is this the address of an OpenAI-compatible API?"
        ) from error
    return value if isinstance(value, dict) else None
