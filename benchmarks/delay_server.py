"""An upstream that answers each chat request after a fixed time and does nothing else, to see what a gateway adds.

    python benchmarks/delay_server.py [--delay 0.05]

Unlike `gpu_server.py` it costs almost no processor time, so that it takes none from what is measured beside it. It
repeats the token `query-NNNNNN` of the question.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from aiohttp import web

MODEL = "fake-gpu"
_TOKEN = re.compile(r"query-\d{6}")


def application(delay: float) -> web.Application:
    """The server.

    Args:
        delay: seconds that each answer takes.
    """

    async def models(request: web.Request) -> web.Response:
        return web.json_response({"object": "list", "data": [{"id": MODEL, "object": "model", "owned_by": "nobody"}]})

    async def chat(request: web.Request) -> web.Response:
        found = _TOKEN.search(await request.text())
        await asyncio.sleep(delay)
        text = f"{found[0] if found else ''} is answered here, in a sentence of about twenty words. " * 4
        choice = {"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": "stop"}
        usage = {"prompt_tokens": 60, "completion_tokens": 80, "total_tokens": 140}
        return web.json_response({"id": "1", "object": "chat.completion", "choices": [choice], "usage": usage})

    app = web.Application()
    app.add_routes([web.get("/v1/models", models), web.post("/v1/chat/completions", chat)])
    return app


@contextlib.contextmanager
def running(delay: float) -> Iterator[str]:
    """The server in a process of its own; yields its URL, which ends in /v1."""
    command = [sys.executable, str(Path(__file__).resolve()), f"--delay={delay}"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            yield process.stdout.readline().strip()
        finally:
            process.terminate()


async def serve(delay: float) -> None:
    """Serve on a free port, and print the URL."""
    runner = web.AppRunner(application(delay), access_log=None)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    print(f"http://127.0.0.1:{runner.addresses[0][1]}/v1", flush=True)
    await asyncio.Event().wait()


def main() -> None:
    """Serve until interrupted."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--delay", type=float, default=0.05)
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(serve(parser.parse_args().delay))


if __name__ == "__main__":
    main()
