"""Builds the whole server: service, routes, and listeners."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import reduce
from pathlib import Path

from starlette.applications import Starlette

from tpo.engine.events import Listener, both
from tpo.server.admission import Admission
from tpo.server.app import AppOptions, create_app
from tpo.server.asgi import App, RequestInfo
from tpo.server.metrics import Metrics
from tpo.server.page import page
from tpo.server.recording import Recorder
from tpo.server.registry import KEPT, SearchRegistry, Watch
from tpo.server.request_options import RequestOptions
from tpo.server.service import Service, Setup
from tpo.server.store.folder import ResponseStore
from tpo.server.telemetry import RequestTelemetry, Traced
from tpo.telemetry.provider import configured
from tpo.view.sources import Sources

MEGABYTE = 1_000_000


def assembled(setup: Setup, options: AppOptions) -> tuple[App, Service]:
    """Make the server.

    Args:
        setup: what is served.
        options: who is served, and what may come in.

    Returns:
        the application, and the service behind it, which is still to be opened.

    Raises:
        InputError: what was set up cannot be used.
    """
    serving = setup.serving
    record = Path(serving.record) if serving.record is not None else None
    service = Service(setup)
    aligned, passed = Admission(serving.requests, serving.queue), Admission(serving.passed, serving.queue)
    metrics = Metrics(aligned=aligned, passed=passed)
    watchers: list[Watch] = [metrics.watch]
    if record is not None:
        recorder = Recorder(record, serving.record_days)
        service.at_end(recorder.close)
        watchers.append(recorder.watch)
    telemetry = None
    if (sent := configured(os.environ)) is not None:
        telemetry = RequestTelemetry(sent)
        service.at_end(sent.close)
        watchers.append(telemetry.watch)
    searches = SearchRegistry(service, aligned, _together(watchers), kept=KEPT if serving.ui else 0)
    store = None
    if serving.store is not None:
        store = ResponseStore(Path(serving.store), serving.store_days, serving.store_mb * MEGABYTE)
    app = create_app(
        searches,
        passed,
        options,
        metrics=metrics,
        page=_page(searches, record) if serving.ui else None,
        store=store,
    )
    return (app if telemetry is None else Traced(app, telemetry)), service


def _page(searches: SearchRegistry, record: Path | None) -> Starlette:
    traces = Sources([record] if record is not None else [])
    # Keys and host names are checked in front of the whole server.
    return page(searches, traces, answers="this server's models and reward", live=True)


def _together(watchers: list[Watch]) -> Watch:
    @contextmanager
    def watch(info: RequestInfo, options: RequestOptions) -> Iterator[Listener]:
        with ExitStack() as stack:
            yield reduce(both, [stack.enter_context(one(info, options)) for one in watchers])

    return watch
