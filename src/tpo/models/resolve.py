"""From what a user writes to a model: a URL, `embedded`, `gguf:PATH`, or `hub:ORG/REPO`."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from tpo.errors import InputError, ModelError, ModelUnavailable
from tpo.http.client import HttpClient
from tpo.http.endpoint import OPENAI_HOST, Endpoint
from tpo.http.failures import server_message
from tpo.http.redaction import without_passwords
from tpo.http.retry import retrying
from tpo.models.hub_download import HUB
from tpo.models.openai import OpenAIModel
from tpo.models.profiles import Profile, profile_for

EMBEDDED = "embedded"
GGUF = "gguf:"


async def open_model(
    spec: str,
    role: str,
    model: str | None = None,
    progress: Callable[[str], None] = lambda line: None,
    *,
    omit: Iterable[str] = (),
    key_role: str | None = None,
) -> OpenAIModel:
    """Connect to a model and find out what serves it.

    Args:
        spec: an http(s) URL, `embedded`, `gguf:PATH`, or `hub:ORG/REPO[:FILE]`.
        role: policy, critic or editor; decides which key is used.
        model: the model's name; found by itself where one model is served.
        progress: called with a line about what takes long, and with a sentence that a user should read.
        omit: fields that requests go without, because the server refuses them.
        key_role: decides which key is used instead of the role.

    Raises:
        InputError: the spec is none of these, a model must be named, or a field cannot be left out.
        ModelError: the server cannot be reached or refuses.
    """
    check_place(spec)
    if is_local(spec):
        return await _open_embedded(spec, role, progress, omit)
    return await connect(Endpoint(spec, key_role or role), role, model, omit=omit, on_note=progress)


def check_place(spec: str) -> None:
    """See that a text says where a model is, before anything is opened.

    Raises:
        InputError: it does not.
    """
    if not is_local(spec) and "://" not in spec:
        raise InputError(
            f"{without_passwords(spec)!r} is not a model: give a URL such as http://localhost:8000/v1, {EMBEDDED}, "
            f"{GGUF}PATH, or {HUB}ORG/REPO."
        )


async def served_models(spec: str, role: str) -> list[str]:
    """The names of the models that a server lists; none where the spec is no URL, or the server lists nothing.

    Args:
        spec: as for `open_model`, or several with commas between them, of which the first counts.
        role: policy, critic or editor; decides which key is used.

    Raises:
        ModelError: the server cannot be reached or refuses.
    """
    first = spec.partition(",")[0].strip()
    if "://" not in first:
        return []
    client = HttpClient(Endpoint(first, role))
    try:
        return [card.id for card in await _listed(client, named=False) or []]
    finally:
        await client.aclose()


def is_local(spec: str) -> bool:
    """Whether a spec names a model that runs in this process."""
    return spec == EMBEDDED or spec.startswith((GGUF, HUB))


async def local_file(spec: str, progress: Callable[[str], None]) -> Path:
    """The GGUF file of a model that runs in this process; it is fetched where it has to be.

    Args:
        spec: `embedded`, `gguf:PATH`, or `hub:ORG/REPO[:FILE]`.
        progress: called with a line about what takes long.

    Raises:
        InputError: the spec names no file, or several.
        ModelError: the file cannot be fetched or kept.
    """
    from tpo.models import hub, weights

    if spec.startswith(GGUF):
        return Path(spec.removeprefix(GGUF))
    if spec == EMBEDDED:
        return await asyncio.to_thread(weights.smollm2, progress)
    stop = threading.Event()
    try:
        return await asyncio.to_thread(hub.fetch, spec, progress, stop)
    finally:
        stop.set()  # a thread cannot be cancelled


async def _open_embedded(spec: str, role: str, progress: Callable[[str], None], omit: Iterable[str]) -> OpenAIModel:
    from tpo.models import embedded

    server = await asyncio.to_thread(embedded.start, await local_file(spec, progress))
    # Requests of a process to itself go through no proxy.
    endpoint = Endpoint(server.url, role, server.api_key, proxied=False)
    # The port changes with every start; the file is what identifies the model.
    name = f"{server.name} (embedded)"
    model = await connect(endpoint, role, server.name, name=name, omit=omit, on_note=progress)
    model.profile = msgspec.structs.replace(model.profile, room=server.context, prefix=True)
    return model


async def connect(
    endpoint: Endpoint,
    role: str,
    model: str | None = None,
    *,
    name: str | None = None,
    omit: Iterable[str] = (),
    on_note: Callable[[str], None] = lambda line: None,
) -> OpenAIModel:
    """Find out what a server serves, and open the named model, or the only one.

    Args:
        endpoint: where the server is.
        role: policy, critic, editor or judge, for messages.
        model: the model's name; needed where several are served, or none is listed.
        name: what identifies model and server in a journal, where that is not the name at the URL.
        omit: fields that requests go without.
        on_note: called with a sentence that a user should read.

    Raises:
        InputError: a model must be named.
        ModelError: the server cannot be reached, or lists nothing and no model is named.
    """
    client = HttpClient(endpoint)
    try:
        listed = await _listed(client, model is not None)
        if listed is None and model is None:
            raise ModelError(
                f"{endpoint.shown} lists no models: name one with --{role}-model, or check the URL "
                f"(it usually ends in /v1)."
            )
        cards = listed or []
        served = tuple(card.id for card in cards)
        if model is None:
            if len(served) != 1:
                names = f"serves {', '.join(served)}" if served else "serves no model"
                raise InputError(f"{endpoint.shown} {names}: name one with --{role}-model.")
            model = served[0]
        card = next((card for card in cards if card.id == model), cards[0] if len(cards) == 1 else Card(model))
        profile = await _profile(client, card.owned_by)
    finally:
        await client.aclose()
    return OpenAIModel(endpoint, model, profile, card.context, served, name, omit=omit, on_note=on_note)


class Card(NamedTuple):
    """A model in a server's list."""

    id: str
    owned_by: str = ""
    context: int | None = None


async def _listed(client: HttpClient, named: bool) -> list[Card] | None:
    """The models that a server lists; None where it has no list.

    Args:
        client: connections to the server.
        named: the model is named, so that the list is a help and no condition.
    """
    endpoint = client.endpoint
    try:
        value = await _page(client, endpoint.at("models"), f"{endpoint.shown}/models")
    except ModelUnavailable as error:
        if not named or error.unreachable:
            raise
        return None
    except ModelError:
        if not named:
            raise
        return None
    entries = value.get("data", value.get("models")) if isinstance(value, dict) else value
    if not isinstance(entries, list):
        return None if value is None else []
    return [_card(entry) for entry in entries if isinstance(entry, dict) and _text(entry.get("id"))]


def _card(entry: dict[str, Any]) -> Card:
    details = entry.get("meta")
    sizes = [entry.get("max_model_len"), details.get("n_ctx") if isinstance(details, dict) else None]
    context = next((size for size in sizes if isinstance(size, int) and not isinstance(size, bool) and size > 0), None)
    return Card(_text(entry["id"]), _text(entry.get("owned_by")), context)


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""


async def _profile(client: HttpClient, owned_by: str) -> Profile:
    endpoint = client.endpoint
    if endpoint.host == OPENAI_HOST:
        owned_by = OPENAI_HOST
    profile = profile_for(owned_by)
    if owned_by == "vllm":
        version = (await _details(client, "version")).get("version")
        if isinstance(version, str) and version.endswith("+cpu"):
            return profile_for("vllm+cpu")
    if owned_by == "llamacpp":
        slots = (await _details(client, "props")).get("total_slots")
        if isinstance(slots, int) and not isinstance(slots, bool) and slots > 0:
            return msgspec.structs.replace(profile, max_choices=slots, parallel=slots, slots=True)
    return profile


async def _details(client: HttpClient, path: str) -> dict[str, Any]:
    """What one of the server's own pages holds; nothing where the server has no such page, or hides it."""
    address = client.endpoint.beside(path)
    try:
        value = await _page(client, address, address)
    except ModelUnavailable:
        raise
    except ModelError:
        return {}
    return value if isinstance(value, dict) else {}


async def _page(client: HttpClient, address: str, shown: str) -> Any:
    """The JSON of a page; None where the server has no such page."""
    tried: list[float] = []
    try:
        async for attempt in retrying(lambda error, wait: tried.append(wait), tries=3):
            with attempt:
                response = await client.get(address)
                if response.status == 404:
                    return None
                if response.status != 200:
                    raise client.refused(response, shown)
    except ModelUnavailable as error:
        error.args = (f"{error} Tried {len(tried) + 1} times.",)
        raise
    try:
        return msgspec.json.decode(response.body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        detail = server_message(response.text)
        raise ModelError(
            f"{shown} answered no JSON ({detail}): is this the address of an OpenAI-compatible API?"
        ) from error
