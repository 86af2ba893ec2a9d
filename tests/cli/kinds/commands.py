"""The command line in this process, beside a server in a thread of its own."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

from typer.testing import CliRunner

from models.server import Respond, Server, serving
from tpo.cli.app import app


class Ran(NamedTuple):
    code: int
    out: str
    err: str


@contextmanager
def beside(respond: Respond) -> Iterator[Server]:
    """The server in a thread of its own: the command line runs its own loop."""
    with asyncio.Runner() as runner:
        context = serving(respond)
        server = runner.run(context.__aenter__())
        loop = runner.get_loop()
        thread = threading.Thread(target=loop.run_forever)
        thread.start()
        try:
            yield server
        finally:
            loop.call_soon_threadsafe(loop.stop)
            thread.join()
            runner.run(context.__aexit__(None, None, None))


def tpo(*arguments: str) -> Ran:
    ran = CliRunner(env={"COLUMNS": "300", "NO_COLOR": "1"}).invoke(app, list(arguments))
    assert "Traceback" not in ran.stderr and "bug" not in ran.stderr, ran.stderr
    return Ran(ran.exit_code, ran.stdout, ran.stderr)
