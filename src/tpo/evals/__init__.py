"""Benchmarks: their published graders and statistics."""
