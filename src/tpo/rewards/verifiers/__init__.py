"""Verifiers: rewards that check an answer against something known, and describe what is wrong. See docs/verifiers.md.

Nothing heavy is imported here: each verifier comes with its own module, named by `parse_verifier`.
"""

from tpo.rewards.verifiers.parse import parse_verifier
from tpo.rewards.verifiers.references import References

__all__ = ["References", "parse_verifier"]
