"""The search methods: generators that yield actions, the pool that they keep, and the names that they go by."""

from __future__ import annotations

from tpo.candidate import Candidate
from tpo.methods.actions import Action, Ask, BudgetSpent, Outcome, Reply, Sample, ScoreTexts, Search
from tpo.methods.adaptive import adaptive
from tpo.methods.best_of_n import best_of_n
from tpo.methods.definition import Method, Setting, method, method_of
from tpo.methods.feedback_descent import feedback_descent
from tpo.methods.fusion import fusion
from tpo.methods.pool import Pool
from tpo.methods.registry import MethodSource, find_method, is_method, methods, register, resolve_method, wording
from tpo.methods.restate import restate
from tpo.methods.revision import revision
from tpo.methods.rsa import rsa
from tpo.methods.sample import sample
from tpo.methods.segments import segments
from tpo.methods.tpo import tpo
from tpo.methods.tpo_fused import tpo_fused
from tpo.methods.words import words

__all__ = [
    "Action",
    "Ask",
    "BudgetSpent",
    "Candidate",
    "Method",
    "MethodSource",
    "Outcome",
    "Pool",
    "Reply",
    "Sample",
    "ScoreTexts",
    "Search",
    "Setting",
    "find_method",
    "is_method",
    "method",
    "method_of",
    "methods",
    "register",
    "resolve_method",
    "wording",
]

for _name, _function in (
    ("tpo", tpo),
    ("tpo-fused", tpo_fused),
    ("revision", revision),
    ("best-of-n", best_of_n),
    ("sample", sample),
    ("restate", restate),
    ("words", words),
    ("fusion", fusion),
    ("rsa", rsa),
    ("feedback-descent", feedback_descent),
    ("segments", segments),
    ("adaptive", adaptive),
):
    register(_name, _function)
