"""Odd servers: what each answers to a completion, and what a user must get from it."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from models.server import Received, Respond, delta, error, models, response, stream

Body = Mapping[str, Any]
ANSWER = "Wipe it with a damp cloth."
USAGE = {"prompt_tokens": 9, "completion_tokens": 3}
COUNTED = {"choices": [], "usage": USAGE}
FILTERED = {"content": "Well"}


class Kind(NamedTuple):
    """One kind of server.

    Attributes:
        name: what is odd about it.
        respond: its answers.
        fails: words of the one line that explains why there is no answer; empty where `ANSWER` is the answer.
        flags: flags of the command line that it needs.
        status: what `serve` answers.
    """

    name: str
    respond: Respond
    fails: str = ""
    flags: tuple[str, ...] = ()
    status: int = 200


def whole(choice: Mapping[str, Any], **more: Any) -> bytes:
    """A reply in one piece."""
    return response(json.dumps({"choices": [{"index": 0, **choice}], "usage": USAGE, **more}))


TEXT = {"message": {"role": "assistant", "content": ANSWER}, "finish_reason": "stop"}
WHOLE = whole(TEXT)
STREAM = stream(delta(ANSWER, finish="stop"), COUNTED)


def plain(body: Body) -> bytes:
    """What a good server answers, in the form that the request wants."""
    return STREAM if body.get("stream") else WHOLE


def serves(answer: Callable[[Body], bytes] | bytes, listed: bytes | None = None) -> Respond:
    """A server that answers each completion, and lists one model or answers `listed`."""

    def respond(request: Received) -> bytes:
        if request.path.endswith("/models"):
            return models("m") if listed is None else listed
        return answer if isinstance(answer, bytes) else answer(request.json)

    return respond


def message(content: Any, finish: Any = "stop", **more: Any) -> Respond:
    """A server whose message is this, whole or in one chunk of a stream."""
    fields = {"role": "assistant", "content": content, **more}

    def answer(body: Body) -> bytes:
        chunk = {"choices": [{"index": 0, "delta": fields, "finish_reason": finish}]}
        return stream(chunk, COUNTED) if body.get("stream") else whole({"message": fields, "finish_reason": finish})

    return serves(answer)


def sometimes(bad: bytes) -> Respond:
    """A server whose every second completion is bad."""
    count = 0

    def answer(body: Body) -> bytes:
        nonlocal count
        count += 1
        return bad if count % 2 else plain(body)

    return serves(answer)


def refuses(says: Callable[[Body], str | None]) -> Respond:
    """A server that refuses with 400 what `says` has words for."""

    def answer(body: Body) -> bytes:
        said = says(body)
        return plain(body) if said is None else error(said)

    return serves(answer)


BOTH = "`temperature` and `top_p` cannot both be specified for this model. Please use only one."
LIMIT = "Unsupported parameter: 'max_tokens' is not supported with this model. Use 'max_completion_tokens' instead."
ONE = "Unsupported value: 'temperature' does not support 0.7 with this model. Only the default (1) value is supported."
CODE_502 = {"error": {"message": "Provider returned error", "code": 502}}
CODE_400 = {"error": {"message": "content too spicy", "code": 400}}
IN_CHOICE = {
    "index": 0,
    "error": {"code": 502, "message": "Upstream idle timeout"},
    "message": {"role": "assistant", "content": ""},
    "finish_reason": "error",
}
PARTS = [
    {"type": "thinking", "thinking": [{"type": "text", "text": "Let me think."}]},
    {"type": "text", "text": ANSWER},
]

ODD: list[Any] = [7.0, 7.5, "7", None, -7, [], {}, True, 10**30]
REASONS: list[Any] = [7, True, {}, [], None, ""]
INDICES: list[Any] = ["0", None, [], -1, 2**70]
CALLS: list[Any] = [7, {}, [7], [{"function": 7}]]

A1 = [
    *(
        Kind(f"usage {count!r}", serves(whole(TEXT, usage={"prompt_tokens": count, "completion_tokens": count})))
        for count in ODD
    ),
    *(Kind(f"usage is {value!r}", serves(whole(TEXT, usage=value))) for value in ODD[5:7]),
    *(Kind(f"reason {value!r}", message(ANSWER, value)) for value in REASONS),
    *(Kind(f"index {value!r}", serves(whole({**TEXT, "index": value}))) for value in INDICES),
    *(Kind(f"calls {value!r}", message(ANSWER, tool_calls=value)) for value in CALLS),
    *(Kind(f"logprobs {value!r}", serves(whole({**TEXT, "logprobs": value}))) for value in CALLS),
    Kind("nested 100,000 deep", serves(response(b"[" * 100_000)), "nested too deeply", status=502),
    Kind(
        "half a surrogate",
        serves(response(f'{{"choices":[{{"message":{{"content":"{ANSWER}"}},"x":"\\ud83d"}}]}}')),
    ),
    Kind("no choices", serves(response('{"choices": []}')), "without any choice", status=502),
    Kind("choices are a number", serves(response('{"choices": 7}')), "without any choice", status=502),
    Kind(
        "a web page",
        serves(response("<html><title>Login</title></html>", kind="text/html")),
        "instead of a completion",
        status=502,
    ),
]
A2 = [
    Kind("parts", message(PARTS)),
    Kind("one part", message([{"type": "output_text", "text": ANSWER}])),
    Kind("parts without text", message(PARTS[:1]), "reasoning alone", status=502),
]
A3 = [
    Kind("only [DONE]", serves(stream(delta(ANSWER), COUNTED))),
    Kind("no reason, no [DONE], usage", serves(stream(delta(ANSWER), COUNTED, done=False))),
    Kind("whole without a reason", serves(whole({"message": {"content": ANSWER}}))),
    Kind("always streams", serves(STREAM)),
    Kind("never streams", serves(WHOLE)),
    Kind("refuses whole", refuses(lambda body: None if body.get("stream") else "supports stream mode only")),
    Kind("refuses streams", refuses(lambda body: "Streaming is not supported" if body.get("stream") else None)),
]
A4 = [
    Kind("502 in a 200, at times", sometimes(response(json.dumps(CODE_502)))),
    Kind("502 in a stream, at times", sometimes(stream(delta("Hel"), CODE_502))),
    Kind("502 in a choice, at times", sometimes(response(json.dumps({"choices": [IN_CHOICE]})))),
    Kind("cut JSON, at times", sometimes(response(WHOLE.partition(b"\r\n\r\n")[2][:-9]))),
    Kind("502 in a 200, always", serves(response(json.dumps(CODE_502))), "Provider returned error", status=502),
    Kind("502 in a choice, always", serves(whole(IN_CHOICE)), "Upstream idle timeout", status=502),
    Kind("400 in a 200", serves(response(json.dumps(CODE_400))), "content too spicy", status=400),
    Kind("500, always", serves(error("boom", 500)), "boom", status=502),
]
A6 = [
    Kind("not both", refuses(lambda body: BOTH if {"temperature", "top_p"} <= body.keys() else None)),
    Kind("temperature 1 only", refuses(lambda body: ONE if "temperature" in body else None)),
    Kind("no seed", refuses(lambda body: "Unknown field: seed" if "seed" in body else None), flags=("--seed", "1")),
    Kind(
        "no stream_options", refuses(lambda body: "stream_options: not permitted" if "stream_options" in body else None)
    ),
    Kind("max_completion_tokens", refuses(lambda body: LIMIT if "max_tokens" in body else None)),
    Kind(
        "refuses top_p without naming it",
        refuses(lambda body: "bad request" if "top_p" in body else None),
        flags=("--omit", "top_p"),
    ),
]
NAMED = ("--policy-model", "m")
A7 = [
    *(Kind(f"models {code}", serves(plain, error("no", code)), flags=NAMED) for code in (400, 401, 403, 404, 405, 500)),
    Kind("models is a page", serves(plain, response("<title>Hi</title>", kind="text/html")), flags=NAMED),
    Kind("404 in its own words", serves(error("no such route here", 404)), "no such route here", status=502),
]
A8 = [
    Kind(
        f"redirect {code}",
        serves(response("", code, location="http://127.0.0.1:9/v1/chat/completions")),
        "redirects to",
        status=502,
    )
    for code in (301, 307)
]
B = [
    Kind("content null", message(None), "empty", status=502),
    Kind("content empty", message(""), "empty", status=502),
    Kind("content blank", message(" \n\t"), "empty", status=502),
    Kind("reasoning alone", message(None, reasoning_content="Hm."), "reasoning alone", status=502),
    Kind("filtered", message("Well", "content_filter"), "filtered", status=502),
    Kind("no message", serves(whole({"message": None, "finish_reason": "stop"})), "empty", status=502),
    Kind("every second is empty", sometimes(whole({"message": {"content": ""}, "finish_reason": "stop"}))),
    Kind("think block only", message("<think>Hm.</think>"), "empty", status=502),
]

KINDS = [*A1, *A2, *A3, *A4, *A6, *A7, *A8, *B]
