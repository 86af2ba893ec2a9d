"""Verifiers: rewards that check an answer against something known, and describe what is wrong. See docs/verifiers.md.

Nothing heavy is imported here: each verifier comes with its own module, named by `parse_verifier`.
"""
