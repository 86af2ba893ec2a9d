"""The options of the server, of its keys, and of the page."""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum
from pathlib import Path
from typing import Annotated, TypeAlias

import msgspec

from tpo.options.groups import ACCESS, ADDRESS, LIMITS, LOAD, LOGS, METHOD, OUTPUT, SAMPLING, STORE
from tpo.options.option import Option

Host: TypeAlias = Annotated[str, Option(help="The address to listen on.", group=ADDRESS)]
Port: TypeAlias = Annotated[int, Option(help="The port; 0 takes any.", group=ADDRESS, least=0, most=65535)]
THIS_MACHINE = "127.0.0.1"


class LogFormat(StrEnum):
    """How log lines look."""

    TEXT = "text"
    JSON = "json"


class ServeOptions(msgspec.Struct, frozen=True, kw_only=True):
    """Where a server listens, who may use it, how much a request may cost, and what is recorded."""

    host: Host = THIS_MACHINE
    port: Port = 8000
    keys: Annotated[
        str | Path | None, Option(help="A file of keys, which `tpo key` makes.", group=ACCESS, metavar="FILE")
    ] = None
    allow_host: Annotated[
        Sequence[str],
        Option(
            help="A name under which clients may reach a server without keys (repeatable).",
            group=ACCESS,
            metavar="NAME",
        ),
    ] = ()
    allow_origin: Annotated[
        Sequence[str],
        Option(
            help="A web page whose scripts may send requests (repeatable), as https://HOST.",
            group=ACCESS,
            metavar="ORIGIN",
        ),
    ] = ()
    max_width: Annotated[int, Option(help="The largest width (N) of a request.", group=SAMPLING, least=1)] = 32
    max_depth: Annotated[int, Option(help="The largest depth (D) of a request.", group=SAMPLING, least=0)] = 8
    max_answer: Annotated[
        int | None, Option(help="The most tokens per answer of a request.", group=SAMPLING, least=1, metavar="COUNT")
    ] = None
    max_message: Annotated[
        int, Option(help="The most characters of one message.", group=SAMPLING, least=1, metavar="COUNT")
    ] = 1_000_000
    max_conversation: Annotated[
        int,
        Option(
            help="The most bytes of the messages of a request for a search.", group=SAMPLING, least=1, metavar="COUNT"
        ),
    ] = 4_000_000
    deadline: Annotated[
        float,
        Option(
            help="Seconds after which a request gets the best answer so far.",
            group=SAMPLING,
            above=0,
            metavar="SECONDS",
        ),
    ] = 300.0
    preset: Annotated[
        Sequence[str],
        Option(
            help="A preset that /v1/models lists (repeatable); other presets work too.", group=METHOD, metavar="NAME"
        ),
    ] = ()
    requests: Annotated[int, Option(help="Most aligned requests at once.", group=LOAD, least=1)] = 128
    passed: Annotated[int, Option(help="Most requests to plain models at once.", group=LOAD, least=1)] = 1024
    queue: Annotated[int, Option(help="Most requests that wait; any more get a 429.", group=LOAD, least=0)] = 512
    concurrency: Annotated[
        int | None,
        Option(
            help="Sequences in flight at each model's server; measured unless given.",
            group=LOAD,
            least=1,
            metavar="COUNT",
        ),
    ] = None
    patience: Annotated[
        float,
        Option(help="Seconds for which tpo retries a server that is down.", group=LOAD, least=0, metavar="SECONDS"),
    ] = 0.0
    grace: Annotated[
        float,
        Option(
            help="Seconds that open requests have to finish when the server stops.",
            group=LOAD,
            least=0,
            metavar="SECONDS",
        ),
    ] = 20.0
    log: Annotated[LogFormat, Option(help="Format of log lines.", group=LOGS)] = LogFormat.TEXT
    log_contents: Annotated[bool, Option(help="Log questions and answers.", group=LOGS)] = False
    record: Annotated[
        str | Path | None,
        Option(help="Keep the trace of each aligned request in this folder.", group=LOGS, metavar="FOLDER"),
    ] = None
    record_days: Annotated[
        float, Option(help="Days for which traces are kept.", group=LOGS, above=0, metavar="DAYS")
    ] = 30.0
    store: Annotated[
        str | Path | None,
        Option(
            help="Store responses in this folder, for background, previous_response_id and fetching later.",
            group=STORE,
            metavar="FOLDER",
        ),
    ] = None
    store_days: Annotated[
        float, Option(help="Days for which responses are stored.", group=STORE, above=0, metavar="DAYS")
    ] = 30.0
    store_mb: Annotated[
        int,
        Option(
            help="Megabytes of stored responses per key; beyond that its oldest are deleted.",
            group=STORE,
            least=1,
            metavar="COUNT",
        ),
    ] = 2000
    ui: Annotated[bool, Option(help="Serve the page at /ui.", group=LOGS)] = True


class KeyOptions(msgspec.Struct, frozen=True, kw_only=True):
    """What a client of the server may do."""

    file: Annotated[str | Path, Option(help="The key file, which `tpo serve --keys` reads.", group=ACCESS)] = (
        "keys.toml"
    )
    operator: Annotated[
        bool, Option(help="Give it access to the requests of all clients, at /ui and in /metrics.", group=ACCESS)
    ] = False
    requests_per_minute: Annotated[int | None, Option(help="Most requests a minute.", group=LIMITS)] = None
    tokens_per_minute: Annotated[
        int | None, Option(help="Most tokens a minute, of prompts and answers of all roles.", group=LIMITS)
    ] = None
    concurrency: Annotated[int | None, Option(help="Most requests at once.", group=LIMITS)] = None


class ViewOptions(msgspec.Struct, frozen=True, kw_only=True):
    """Where the page is, and what it offers."""

    host: Host = THIS_MACHINE
    port: Port = 8080
    browse: Annotated[bool, Option(help="Open the page in the browser.", group=ADDRESS, flag="open")] = True
    play: Annotated[bool, Option(help="Offer the playground.", group=OUTPUT)] = True
