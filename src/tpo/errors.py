"""The errors that tpo raises. Each message says what, where, and what to do."""

from __future__ import annotations


class TPOError(Exception):
    """Anything that tpo itself reports; shown to a user as one line, without a traceback."""


class InputError(TPOError):
    """What the user gave cannot be used: a flag, a file, a query."""


class PromptError(TPOError):
    """A prompt template is missing, does not parse, or names something unknown."""


class ModelError(TPOError):
    """A model endpoint cannot be reached, refuses, or answers something unusable."""


class RewardError(TPOError):
    """A reward cannot be loaded, raised, or returned something unusable."""


class JournalError(TPOError):
    """A journal cannot be written, read, or does not fit the run that it is fed to."""
