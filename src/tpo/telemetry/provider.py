"""Telemetry after OpenTelemetry's conventions for generative AI: spans of searches and calls, tokens, and scores.

https://github.com/open-telemetry/semantic-conventions-genai

Made from the events of a search, so that nothing in the engine knows of it. Needs the extra `otel`; without it, and
where no collector is named, nothing of it is imported or done. docs/observability.md has the attributes.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING

from tpo.engine.records import Record
from tpo.errors import InputError
from tpo.telemetry.addresses import Address
from tpo.telemetry.spans import Instruments, Spans

if TYPE_CHECKING:
    from opentelemetry.sdk._logs import LoggerProvider
    from opentelemetry.sdk.metrics import MeterProvider
    from opentelemetry.sdk.trace import TracerProvider

ENDPOINT = "OTEL_EXPORTER_OTLP_ENDPOINT"
CONTENTS = "OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT"


class Telemetry:
    """Telemetry of one process.

    Args:
        traces: where spans go.
        logs: where scores go, as events; None for nowhere.
        metrics: where numbers of tokens and seconds go; None for nowhere.
        contents: with questions and answers.

    Attributes:
        tracer: makes spans.
    """

    def __init__(
        self,
        traces: TracerProvider,
        *,
        logs: LoggerProvider | None = None,
        metrics: MeterProvider | None = None,
        contents: bool = False,
    ) -> None:
        from importlib.metadata import version

        self._providers = [traces, logs, metrics]
        self.tracer = traces.get_tracer("tpo", version("tpo"))
        logger = logs.get_logger("tpo", version("tpo")) if logs is not None else None
        self._instruments = Instruments.of(metrics.get_meter("tpo", version("tpo"))) if metrics is not None else None
        self._logger = logger
        self._contents = contents

    @contextmanager
    def watching(
        self, reward: str, servers: Mapping[str, Address] | None = None, past: Iterable[Record] = ()
    ) -> Iterator[Spans]:
        """Record a search, below the span that is open where this is called.

        Args:
            reward: the reward's name in the configuration.
            servers: as `addresses` gives them.
            past: what the search's journal holds from earlier processes.
        """
        spans = Spans(
            self.tracer,
            reward,
            contents=self._contents,
            servers=servers,
            logger=self._logger,
            instruments=self._instruments,
            past=past,
        )
        try:
            yield spans
        finally:
            spans.close()

    def close(self) -> None:
        """Send what has not been sent; seconds where the collector is slow."""
        for provider in self._providers:
            if provider is not None:
                provider.shutdown()


def configured(environment: Mapping[str, str]) -> Telemetry | None:
    """Telemetry as OpenTelemetry's own variables configure it; None where they turn it off.

    Args:
        environment: the process's. OTEL_EXPORTER_OTLP_ENDPOINT names the collector of all signals, and
            OTEL_EXPORTER_OTLP_TRACES_ENDPOINT, …_LOGS_… and …_METRICS_… one of a single signal;
            OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT=true adds questions and answers. Sampling, headers,
            timeouts and the service's name are OpenTelemetry's to read.

    Raises:
        InputError: they turn telemetry on, and the extra is not installed.
    """
    wanted = [signal for signal in ("TRACES", "LOGS", "METRICS") if _wanted(environment, signal)]
    if not wanted:
        return None
    try:
        from opentelemetry.exporter.otlp.proto.http._log_exporter import OTLPLogExporter
        from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk._logs import LoggerProvider
        from opentelemetry.sdk._logs.export import BatchLogRecordProcessor
        from opentelemetry.sdk.metrics import MeterProvider
        from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader
        from opentelemetry.sdk.resources import SERVICE_NAME, Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
    except ImportError as error:
        name = ENDPOINT if environment.get(ENDPOINT) else _endpoint(wanted[0])
        raise InputError(f"{name} turns telemetry on, which needs OpenTelemetry: pip install 'tpo[otel]'.") from error
    resource = Resource.create({SERVICE_NAME: environment.get("OTEL_SERVICE_NAME") or "tpo"})
    traces, logs, metrics = TracerProvider(resource=resource), None, None
    if "TRACES" in wanted:
        traces.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    if "LOGS" in wanted:
        logs = LoggerProvider(resource)
        logs.add_log_record_processor(BatchLogRecordProcessor(OTLPLogExporter()))
    if "METRICS" in wanted:
        metrics = MeterProvider([PeriodicExportingMetricReader(OTLPMetricExporter())], resource)
    contents = environment.get(CONTENTS, "").lower() in ("true", "span_only")
    return Telemetry(traces, logs=logs, metrics=metrics, contents=contents)


def _endpoint(signal: str) -> str:
    return f"OTEL_EXPORTER_OTLP_{signal}_ENDPOINT"


def _wanted(environment: Mapping[str, str], signal: str) -> bool:
    if environment.get("OTEL_SDK_DISABLED", "").lower() == "true":
        return False
    if environment.get(f"OTEL_{signal}_EXPORTER") == "none":
        return False
    return bool(environment.get(ENDPOINT) or environment.get(_endpoint(signal)))
