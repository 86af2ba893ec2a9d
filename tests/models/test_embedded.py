"""The embedded model: what starts, what is refused, and what the running server does."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

from models.test_gguf import MISTRAL, gguf
from tpo.errors import InputError, ModelError
from tpo.models import embedded
from tpo.models.embedded import EmbeddedServer
from tpo.models.gguf import Head

CHAT = [{"role": "user", "content": "How do I take care of a wooden table?"}]

# --- starting, without a model


def test_a_broken_file_never_reaches_the_engine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "xllamacpp", None)
    (tmp_path / "m.gguf").write_bytes(b"GGUF")
    with pytest.raises(ModelError, match="header does not parse"):
        embedded.start(tmp_path / "m.gguf")


def test_what_passes_the_check_and_still_does_not_load_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"llama.cpp could not load .*m\.gguf"):
        embedded.start(gguf(tmp_path / "m.gguf", MISTRAL))


def test_a_missing_engine_explains_how_to_get_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "xllamacpp", None)
    with pytest.raises(ModelError, match="pip install xllamacpp"):
        embedded.start(gguf(tmp_path / "m.gguf", MISTRAL))


@pytest.mark.parametrize("options", [{"slots": 0}, {"context": 10}])
def test_sizes_out_of_range(tmp_path: Path, options: dict[str, int]) -> None:
    with pytest.raises(InputError, match="give at least"):
        embedded.start(gguf(tmp_path / "m.gguf", MISTRAL), **options)


GB = 10**9


@pytest.mark.parametrize(
    ("head", "free", "asked", "expected"),
    [
        (Head(98 * 10**6, 8192, 23_040), 16 * GB, None, 32_768),  # SmolLM2: four whole sequences
        (Head(5 * GB, 131_072, 131_072), 64 * GB, None, 16_384),  # Llama 3 8B: two GiB of cache
        (Head(5 * GB, 131_072, 131_072), 9 * GB, None, 8_192),  # on a small machine, what a run needs
        (Head(5 * GB, 2_048, 131_072), 64 * GB, None, 8_192),  # an old model: four whole sequences
        (Head(5 * GB, 131_072, 131_072), 64 * GB, 100_000, 100_000),
        (Head(5 * GB, 0, 0), 64 * GB, None, 32_768),
    ],
)
def test_the_context_fits_model_and_memory(
    monkeypatch: pytest.MonkeyPatch, head: Head, free: int, asked: int | None, expected: int
) -> None:
    monkeypatch.setattr(embedded, "available_memory", lambda: free)
    assert embedded._context(Path("m.gguf"), head, asked) == expected


@pytest.mark.parametrize("asked", [None, 32_768])
def test_short_memory_is_reported_before_it_is_taken(monkeypatch: pytest.MonkeyPatch, asked: int | None) -> None:
    monkeypatch.setattr(embedded, "available_memory", lambda: 6 * GB)
    with pytest.raises(ModelError, match=r"and 6\.0 GB are free"):
        embedded._context(Path("m.gguf"), Head(5 * GB, 131_072, 131_072), asked)


def test_importing_it_loads_no_engine() -> None:
    code = "import sys, tpo.models.embedded; sys.exit('xllamacpp' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


# --- the running model


def client(server: EmbeddedServer, key: str | None = None) -> httpx.Client:
    key = server.api_key if key is None else key
    headers = {"Authorization": f"Bearer {key}"} if key else {}
    return httpx.Client(base_url=server.url, headers=headers, timeout=120, trust_env=False)


def body(**options: Any) -> dict[str, Any]:
    return {"messages": CHAT, "max_tokens": 24, "temperature": 0.7, "stream": True, **options}


def texts(server: EmbeddedServer, **options: Any) -> list[str]:
    answers: dict[int, str] = defaultdict(str)
    with client(server) as http, http.stream("POST", "/chat/completions", json=body(**options)) as response:
        assert response.status_code == 200
        for line in response.iter_lines():
            if line.startswith("data: {"):
                for choice in json.loads(line[6:])["choices"]:
                    answers[choice["index"]] += choice["delta"].get("content") or ""
    return [answers[index] for index in sorted(answers)]


@pytest.mark.embedded
def test_five_answers_in_one_stream_are_the_same_each_time(embedded_server: EmbeddedServer) -> None:
    first = texts(embedded_server, n=5, seed=7)
    assert len(set(first)) == 5
    # What was asked in between, and began with the same words, must not show.
    texts(embedded_server, n=2, seed=1, messages=[{"role": "user", "content": CHAT[0]["content"] + " Be brief."}])
    assert texts(embedded_server, n=5, seed=7) == first
    assert texts(embedded_server, n=5, seed=8) != first


@pytest.mark.embedded
def test_one_request_of_several_equals_several_of_one(embedded_server: EmbeddedServer) -> None:
    serial = [text for seed in (7, 8, 9) for text in texts(embedded_server, seed=seed)]
    assert texts(embedded_server, n=3, seed=7) == serial


def conversation(server: EmbeddedServer, question: str) -> tuple[list[str], int]:
    """An answer, a critique, and three answers that continue it; also how many tokens were found evaluated."""
    grown: list[dict[str, str]] = []
    found = 0
    with client(server) as http:
        for words, goes_on, n in ((question, False, 1), ("What is missing?", True, 1), ("Add it.", True, 3)):
            grown.append({"role": "user", "content": words})
            asked = body(messages=grown, n=n, seed=7, stream=False, cache_prompt=goes_on)
            answer = http.post("/chat/completions", json=asked).json()
            said = [choice["message"]["content"] for choice in sorted(answer["choices"], key=lambda c: c["index"])]
            found += answer["usage"]["prompt_tokens_details"]["cached_tokens"]
            grown.append({"role": "assistant", "content": said[0]})
    return [message["content"] for message in grown] + said, found


@pytest.mark.embedded
def test_a_conversation_that_takes_up_its_own_prompts_is_the_same_each_time(embedded_server: EmbeddedServer) -> None:
    question = CHAT[0]["content"]
    first, found = conversation(embedded_server, question)
    assert found > 100
    # A longer one that begins alike, and one that ended in many slots.
    conversation(embedded_server, question + " Be brief.")
    texts(embedded_server, n=5, seed=1)
    assert conversation(embedded_server, question) == (first, found)


@pytest.mark.embedded
def test_it_names_what_it_serves(embedded_server: EmbeddedServer) -> None:
    with client(embedded_server) as http:
        (card,) = http.get("/models").json()["data"]
        props = http.get(embedded_server.url.removesuffix("/v1") + "/props").json()
    assert card["id"] == embedded_server.name == "SmolLM2-135M-Instruct.Q8_0"
    assert card["meta"]["n_ctx"] == card["meta"]["n_ctx_train"] == 8192
    assert props["total_slots"] == embedded_server.slots
    assert embedded_server.context >= 5 * 1024 + 2048


@pytest.mark.embedded
@pytest.mark.parametrize("path", ["/models", "/props", "/slots", "/chat/completions"])
@pytest.mark.parametrize("key", ["", "wrong"])
def test_a_wrong_key_is_refused(embedded_server: EmbeddedServer, path: str, key: str) -> None:
    root = embedded_server.url.removesuffix("/v1")
    url = embedded_server.url + path if path in ("/models", "/chat/completions") else root + path
    with client(embedded_server, key) as http:
        response = http.post(url, json=body()) if path == "/chat/completions" else http.get(url)
    assert response.status_code == 401
    assert embedded_server.api_key not in response.text


@pytest.mark.embedded
def test_nothing_but_the_api_is_served_and_the_loopback_alone(embedded_server: EmbeddedServer) -> None:
    assert embedded_server.url.startswith("http://127.0.0.1:")
    with client(embedded_server) as http:
        assert http.get(embedded_server.url.removesuffix("/v1") + "/").status_code == 404


@pytest.mark.embedded
def test_a_client_that_leaves_stops_the_work(embedded_server: EmbeddedServer) -> None:
    endless = body(n=3, max_tokens=7000, ignore_eos=True)
    with client(embedded_server) as http:
        with http.stream("POST", "/chat/completions", json=endless) as response:
            # Held by a name: an iterator that is thrown away takes the connection with it.
            lines = response.iter_lines()
            next(lines)
            # Slots say that they are busy a moment after the first word.
            until(lambda: busy(http, embedded_server) == 3)
        until(lambda: busy(http, embedded_server) == 0)


def until(holds: Callable[[], bool]) -> None:
    """Wait for what takes milliseconds; 21000 tokens take minutes."""
    deadline = time.monotonic() + 60
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def busy(http: httpx.Client, server: EmbeddedServer) -> int:
    slots = http.get(server.url.removesuffix("/v1") + "/slots").json()
    return sum(slot["is_processing"] for slot in slots)


@pytest.mark.embedded
def test_a_prompt_over_the_context_and_too_many_choices_are_refused(embedded_server: EmbeddedServer) -> None:
    with client(embedded_server) as http:
        long = http.post("/chat/completions", json=body(messages=[{"role": "user", "content": "hello " * 9000}]))
        many = http.post("/chat/completions", json=body(n=embedded_server.slots + 1))
    assert long.status_code == many.status_code == 400
    assert long.json()["error"]["type"] == "exceed_context_size_error"
    assert long.json()["error"]["n_ctx"] == 8192


@pytest.mark.embedded
def test_the_same_file_is_loaded_once(embedded_server: EmbeddedServer, tmp_path: Path) -> None:
    from tpo.models import weights

    link = tmp_path / "link.gguf"
    link.symlink_to(weights.smollm2())
    assert embedded.start(weights.smollm2()) is embedded_server
    assert embedded.start(link, slots=4) is embedded_server


LIFE = """
import os, sys, threading, httpx
from tpo.models import embedded, weights
server = embedded.start(weights.smollm2(), context=4096)
assert "GOMP_SPINCOUNT" not in os.environ

def ask(server, **options):
    body = {"messages": [{"role": "user", "content": "Hi"}], **options}
    headers = {"Authorization": "Bearer " + server.api_key}
    return httpx.stream("POST", server.url + "/chat/completions", json=body, headers=headers, trust_env=False)

def endless(server):
    "A request in flight: returns when its first token has come; the rest is never read."
    request = ask(server, stream=True, ignore_eos=True, n=2, max_tokens=1900)
    lines = request.__enter__().iter_lines()
    next(lines)
    return request, lines

def answered(server):
    with ask(server, max_tokens=3) as response:
        assert response.status_code == 200
"""


def lives(code: str) -> None:
    """Run code in a process of its own: it must end by itself, and say nothing."""
    run = subprocess.run([sys.executable, "-c", LIFE + code], capture_output=True, text=True, timeout=300, check=False)
    assert (run.returncode, run.stdout, run.stderr) == (0, "", "")


@pytest.mark.embedded
def test_a_process_that_ends_while_it_is_answered_ends() -> None:
    lives("answered(server); held = endless(server)")


@pytest.mark.embedded
def test_closing_while_it_answers_and_starting_again() -> None:
    lives(
        "held = endless(server); server.close(); server.close(); again = embedded.start(weights.smollm2())\n"
        "assert again is not server; answered(again)"
    )


@pytest.mark.embedded
@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")
def test_a_forked_child_gets_an_error_and_does_no_harm() -> None:
    lives(
        "import multiprocessing\n"
        "from tpo.errors import ModelError\n"
        "def child():\n"
        "    try:\n"
        "        embedded.start(weights.smollm2())\n"
        "    except ModelError as error:\n"
        "        assert 'spawn' in str(error)\n"
        "        server.close(); sys.exit(7)\n"
        "answered(server)\n"
        "process = multiprocessing.get_context('fork').Process(target=child)\n"
        "process.start(); process.join(); assert process.exitcode == 7; answered(server)"
    )


@pytest.mark.embedded
def test_ctrl_c_ends_it_without_noise() -> None:
    lives(
        "import signal\n"
        "held = endless(server)\n"
        "try:\n"
        "    signal.raise_signal(signal.SIGINT)\n"
        "except KeyboardInterrupt:\n"
        "    sys.exit(0)"
    )
