"""What servers refuse or hide on their odd days, over the wire: an answer all the same, or a clear error."""

from __future__ import annotations

import json
from typing import Any

import pytest

from models.server import Received, Respond, delta, error, models, response, serving, stream
from models.test_more_than_text import whole
from models.test_openai import CHAT, USAGE, answering, call
from tpo.errors import InputError, ModelError
from tpo.http import retry
from tpo.models.openai import OpenAIModel
from tpo.models.protocol import Choice, Receiver, Request, Usage
from tpo.models.resolve import open_model

TEXT = whole({"content": "Hello"}, "stop")


@pytest.fixture(autouse=True)
def no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retry, "_backoff", lambda state: 0.0)


# Servers that only stream, always stream, or never do


def picky(refuses: bool, said: str) -> Respond:
    def respond(request: Received) -> bytes:
        if request.path == "/v1/models":
            return models("m")
        if bool(request.json.get("stream")) == refuses:
            return error(said)
        return TEXT if refuses else stream(delta("Hello", finish="stop"), USAGE)

    return respond


@pytest.mark.parametrize(
    ("refuses", "said"),
    [
        (False, "parameter.enable_thinking must be set to false for non-streaming calls"),
        (False, "This model supports stream mode only."),
        (True, "Streaming is not supported by this model."),
        (True, "'stream' is not supported"),
    ],
)
async def test_a_server_that_only_streams_or_never_does(refuses: bool, said: str) -> None:
    notes: list[str] = []
    async with serving(picky(refuses, said)) as server:
        model = await open_model(server.url, "policy", progress=notes.append)
        for streamed in (True, False, True):
            choices: list[Choice] = []
            await model.generate(Request(CHAT, stream=streamed), Receiver(Usage(), choices.append))
            assert choices[0].text == "Hello"
        await model.aclose()
    assert len(server.bodies()) == 4  # it was learned once
    assert len(notes) == 1
    assert said in notes[0]


# Refused fields


def refusing(says: Any) -> Respond:
    """A server of one model that refuses what `says` has words for."""

    def respond(request: Received) -> bytes:
        if request.path == "/v1/models":
            return models("m")
        refusal = says(request.json)
        answer = stream(delta("Hello", finish="stop"), USAGE) if request.json.get("stream") else TEXT
        return answer if refusal is None else refusal if isinstance(refusal, bytes) else error(refusal)

    return respond


BOTH = "`temperature` and `top_p` cannot both be specified for this model. Please use only one."
LIMIT = "Unsupported parameter: 'max_tokens' is not supported with this model. Use 'max_completion_tokens' instead."
VALUE = (
    "Unsupported value: 'temperature' does not support 0.7 with this model. Only the default (1) value is supported."
)
PYDANTIC = {"detail": [{"loc": ["body", "seed"], "msg": "Extra inputs are not permitted", "input": {"top_p": 1}}]}


@pytest.mark.parametrize(
    ("says", "without", "has"),
    [
        (lambda b: BOTH if {"temperature", "top_p"} <= b.keys() else None, {"top_p"}, {"temperature"}),
        (lambda b: VALUE if "temperature" in b else None, {"temperature"}, {"top_p"}),
        (lambda b: "Unknown field: seed" if "seed" in b else None, {"seed"}, set()),
        (lambda b: error("bad field", param="seed") if "seed" in b else None, {"seed"}, {"top_p"}),
        (lambda b: response(json.dumps(PYDANTIC), 422) if "seed" in b else None, {"seed"}, {"top_p"}),
        (lambda b: "stream_options: extra fields" if "stream_options" in b else None, {"stream_options"}, {"stream"}),
        (lambda b: LIMIT if "max_tokens" in b else None, {"max_tokens"}, {"max_completion_tokens"}),
        (
            lambda b: VALUE if "temperature" in b else "Unknown field: seed" if "seed" in b else None,
            {"temperature", "seed"},
            {"top_p"},
        ),
    ],
)
async def test_refused_fields_are_learned_once_and_noted_once(says: Any, without: set[str], has: set[str]) -> None:
    notes: list[str] = []
    async with serving(refusing(says)) as server:
        model = await open_model(server.url, "policy", progress=notes.append)
        for _ in range(3):
            choices: list[Choice] = []
            await model.generate(Request(CHAT, seed=3, max_tokens=50), Receiver(Usage(), choices.append))
            assert choices[0].text == "Hello"
        await model.aclose()
    *_, last = bodies = server.bodies()
    assert not without & last.keys()
    assert has <= last.keys()
    learned = len(bodies) - 3
    assert learned == len(notes) == len([field for field in without if field])
    assert all("from now on" in note for note in notes)


async def test_a_limit_by_its_other_name_has_the_same_value() -> None:
    *_, received = await call(refusing(lambda b: LIMIT if "max_tokens" in b else None), max_tokens=50)
    assert [r.json.get("max_completion_tokens") for r in received[1:]] == [None, 50]


@pytest.mark.parametrize(
    "said",
    [
        "temperature must be between 0 and 1",
        "max_tokens is too large: 50. This model supports at most 20 completion tokens.",
        "max_tokens: Input should be greater than or equal to 100",
        "tools are not supported",
        'unknown request: {"messages": [], "temperature": 0.7, "stream": true}',
    ],
)
async def test_a_refusal_for_another_reason_is_final_and_costs_one_request(said: str) -> None:
    async with serving(answering(error(said))) as server:
        model = await open_model(server.url, "policy")
        with pytest.raises(ModelError, match="refused the request"):
            await model.generate(Request(CHAT, max_tokens=50), Receiver(Usage(), lambda choice: None))
        await model.aclose()
    assert len(server.bodies()) == 1


async def test_what_did_not_help_is_not_remembered() -> None:
    async with serving(answering(error("no temperature here"), error("nothing works"), TEXT)) as server:
        model = await open_model(server.url, "policy")
        with pytest.raises(ModelError, match="nothing works"):
            await model.generate(Request(CHAT), Receiver(Usage(), lambda choice: None))
        await model.generate(Request(CHAT), Receiver(Usage(), lambda choice: None))
        await model.aclose()
    assert ["temperature" in body for body in server.bodies()] == [True, False, True]


async def test_fields_can_be_left_out_from_the_start() -> None:
    async with serving(answering(TEXT)) as server:
        model = await open_model(server.url, "policy", omit=("top_p", "stream_options"))
        await model.generate(Request(CHAT), Receiver(Usage(), lambda choice: None))
        await model.aclose()
        assert not {"top_p", "stream_options"} & server.bodies()[0].keys()
        with pytest.raises(InputError, match=r"omit=messages: fields that can be left out are temperature"):
            await open_model(server.url, "policy", omit=("messages",))


# The model list is a help


@pytest.mark.parametrize(
    "listed",
    [
        *(error("no", status) for status in (400, 401, 403, 404, 405, 500, 501)),
        response("", 302, location="https://elsewhere"),
        response("<title>Hi</title>", kind="text/html"),
        response("{broken"),
        response("7"),
        response('{"data": 7}'),
        response('{"data": [7, {"id": 7}, {"id": "named", "owned_by": [], "meta": 7, "max_model_len": true}]}'),
    ],
)
async def test_a_named_model_needs_no_usable_list(listed: bytes) -> None:
    async with serving(answering(TEXT, listed=listed)) as server:
        model = await open_model(server.url, "policy", "named")
        choices: list[Choice] = []
        await model.generate(Request(CHAT), Receiver(Usage(), choices.append))
        await model.aclose()
    assert (choices[0].text, model.context) == ("Hello", None)
    assert server.bodies()[0]["model"] == "named"


async def test_a_bare_list_is_a_list() -> None:
    async with serving(answering(TEXT, listed=response('[{"id": "one", "object": "model"}]'))) as server:
        model = await open_model(server.url, "policy")
        await model.aclose()
    assert model.model == "one"


@pytest.mark.parametrize("owner", ["vllm", "llamacpp"])
async def test_a_server_may_hide_its_other_pages(owner: str) -> None:
    def respond(request: Received) -> bytes:
        return models("m", owned_by=owner) if request.path == "/v1/models" else error("no", 401)

    async with serving(respond) as server:
        model = await open_model(server.url, "policy")
        await model.aclose()
    assert model.profile.owned_by == owner


# Redirects


@pytest.mark.parametrize("status", [301, 302, 307, 308])
@pytest.mark.parametrize("streamed", [True, False])
async def test_no_redirect_takes_a_prompt_or_a_key_elsewhere(
    status: int, streamed: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TPO_API_KEY", "sk-secret")
    async with serving(lambda request: TEXT) as other:
        to = response("", status, location=f"{other.url}/chat/completions")
        with pytest.raises(ModelError, match=f"redirects to {other.url}/chat/completions: give that address instead"):
            await call(answering(to), stream=streamed)
        assert not other.received


async def test_an_opened_model_is_one() -> None:
    async with serving(answering(TEXT)) as server:
        model = await open_model(server.url, "policy")
        assert isinstance(model, OpenAIModel)
        await model.aclose()
