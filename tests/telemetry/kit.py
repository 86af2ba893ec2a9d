"""Telemetry whose spans, events and metrics stay in memory."""

from __future__ import annotations

from typing import Any

from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk._logs.export import InMemoryLogRecordExporter, SimpleLogRecordProcessor
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from tpo.telemetry.provider import Telemetry


class Collected:
    """A telemetry whose spans, events and metrics stay here."""

    def __init__(self, *, contents: bool = False) -> None:
        self._exporter = InMemorySpanExporter()
        self._logs = InMemoryLogRecordExporter()  # type: ignore[no-untyped-call]
        self._reader = InMemoryMetricReader()
        traces, logs = TracerProvider(), LoggerProvider()
        traces.add_span_processor(SimpleSpanProcessor(self._exporter))
        logs.add_log_record_processor(SimpleLogRecordProcessor(self._logs))
        self.telemetry = Telemetry(traces, logs=logs, metrics=MeterProvider([self._reader]), contents=contents)

    @property
    def spans(self) -> list[ReadableSpan]:
        """The spans that have ended."""
        return list(self._exporter.get_finished_spans())

    @property
    def events(self) -> list[Any]:
        """The log records."""
        return [data.log_record for data in self._logs.get_finished_logs()]

    @property
    def metrics(self) -> dict[str, Any]:
        """The metrics by name."""
        data: Any = self._reader.get_metrics_data()
        if data is None:
            return {}
        return {
            metric.name: metric
            for resource in data.resource_metrics
            for scope in resource.scope_metrics
            for metric in scope.metrics
        }

    def named(self, name: str) -> list[ReadableSpan]:
        """The spans of a name."""
        return [span for span in self.spans if span.name == name]

    def one(self, name: str) -> ReadableSpan:
        """The only span of a name."""
        (span,) = self.named(name)
        return span

    def everything(self) -> str:
        """All spans and events as text."""
        return "".join(span.to_json() for span in self.spans) + "".join(str(event.attributes) for event in self.events)
