"""Benchmarks: what their published graders and statistics say of answers and judgements."""
