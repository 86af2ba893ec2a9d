"""No key and no password in any text that is written down, in whatever form a server sends it back."""

from __future__ import annotations

import base64
import json

import pytest

from models.server import delta, error, response, serving, stream
from models.test_openai import CHAT, answering
from tpo.errors import ModelError
from tpo.http import retry
from tpo.http.endpoint import Endpoint
from tpo.http.redaction import Secrets, without_passwords
from tpo.models.openai import OpenAIModel
from tpo.models.profiles import profile_for
from tpo.models.protocol import Choice, Receiver, Request, Usage

KEY = "sk-sécret/1234".replace("é", "e")


@pytest.mark.parametrize(
    ("text", "safe"),
    [
        ("http://me:hunter2@h:8000/v1", "http://me:***@h:8000/v1"),
        ("judge:https://me:p%40ss@h/v1?model=m, http://b", "judge:https://me:***@h/v1?model=m, http://b"),
        ("http:https://h/score?api_key=abc&form=query", "http:https://h/score?api_key=***&form=query"),
        ("https://a-token-as-user@h/v1", "https://***@h/v1"),
        ("http://h:8000/v1", "http://h:8000/v1"),
        ("mail me@home.example at 10:30", "mail me@home.example at 10:30"),
        ("", ""),
    ],
)
def test_urls_lose_their_passwords(text: str, safe: str) -> None:
    assert without_passwords(text) == safe
    assert without_passwords({"policy": [text, None, 7]}) == {"policy": [safe, None, 7]}


def test_a_common_word_as_a_key_stays_in_answers_and_goes_from_errors() -> None:
    secrets = Secrets(["ollama"])
    assert secrets.out_of_text("ollama runs models") == "ollama runs models"
    assert secrets.out_of("bad key ollama") == "bad key ***"


@pytest.mark.parametrize("streamed", [True, False])
@pytest.mark.parametrize("user", ["", "me"])
async def test_a_server_that_sends_secrets_back(streamed: bool, user: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retry, "_backoff", lambda state: 0.0)
    if not user:
        monkeypatch.setenv("TPO_API_KEY", KEY)
    basic = base64.b64encode(f"me:{KEY}".encode()).decode()
    forms = [KEY, json.dumps(KEY)[1:-1], KEY.replace("/", "%2F"), *([basic] if user else [])]
    for form in forms:
        halves = [delta(form[:5]), delta(form[5:], finish="stop")]
        answers = [
            error(f"bad key {form}"),
            error(form, 401),
            error(form, 404),
            error(form, 503),
            response(form, 400, "text/plain"),
            response("", 307, location=f"http://elsewhere/?was={form}"),
            response(json.dumps({"error": {"code": 500, "message": form}})),
            response("{" + form),
            response(form, kind="text/html"),
            response(json.dumps({"choices": [{"message": {"content": form, "reasoning": form}}]})),
            stream(*halves),
            stream({"error": {"message": form}}),
        ]
        for answer in answers:
            async with serving(answering(answer)) as server:
                url = server.url.replace("://", f"://{user}:{KEY.replace('/', '%2F')}@") if user else server.url
                model = OpenAIModel(Endpoint(url, "policy"), "m", profile_for(""))
                found: list[Choice] = []
                try:
                    await model.generate(Request(CHAT, stream=streamed), Receiver(Usage(), found.append))
                    seen = found[0].text + found[0].reasoning
                except ModelError as failure:
                    seen = str(failure)
                await model.aclose()
            assert "***" in seen
            assert not any(other in seen for other in forms)
            assert KEY not in model.name
