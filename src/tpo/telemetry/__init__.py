"""Spans, metrics and events of searches for OpenTelemetry."""
