"""The benchmarks: one file for each, all behind `Benchmark` (protocol.py)."""

from tpo.evals.benchmarks.known import BENCHMARKS, find_benchmark
from tpo.evals.benchmarks.protocol import Benchmark, Column, Grade, Graders, Response, Row, Summary

__all__ = ["BENCHMARKS", "Benchmark", "Column", "Grade", "Graders", "Response", "Row", "Summary", "find_benchmark"]
