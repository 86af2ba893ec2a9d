"""The errors that tpo raises. Each message says what, where, and what to do."""

from __future__ import annotations

from typing import Any


class TPOError(Exception):
    """Anything that tpo itself reports; shown to a user as one line, without a traceback.

    Attributes:
        partial: the `tpo.Result` so far, when a search failed; None where there was no answer yet.
    """

    partial: Any = None


class InputError(TPOError):
    """What the user gave cannot be used: a flag, a file, a query."""


class PromptError(TPOError):
    """A prompt template is missing, does not parse, or names something unknown."""


class ModelError(TPOError):
    """A model endpoint cannot be reached, refuses, or answers something unusable."""


class ModelUnavailable(ModelError):
    """An endpoint that may answer later: it is unreachable, overloaded, or broke off. Worth a retry.

    Attributes:
        retry_after: seconds from the Retry-After header, if there was one.
        overloaded: the server has more work than it takes; less of it may help.
        unreachable: there was no response, or a gateway reported that it got none.
        down: nobody got an answer there while this call was tried: it is the endpoint's trouble, not the call's.
    """

    def __init__(
        self, message: str, retry_after: float | None = None, *, overloaded: bool = False, unreachable: bool = False
    ) -> None:
        super().__init__(message)
        self.retry_after = retry_after
        self.overloaded = overloaded
        self.unreachable = unreachable
        self.down = False


class RewardError(TPOError):
    """A reward cannot be loaded, raised, or returned something unusable."""


class JournalError(TPOError):
    """A journal cannot be written, read, or does not fit the run that it is fed to."""


class RewardTooLong(RewardError):
    """A conversation has more tokens than the reward takes; others that were sent with it may be fine."""


class RewardUnavailable(RewardError):
    """A reward that may answer later: unreachable, overloaded, or given too much at once. Worth a retry.

    Attributes:
        retry_after: seconds from the Retry-After header, if there was one.
        too_much: a smaller batch may help where the same one will not.
    """

    def __init__(self, message: str, retry_after: float | None = None, *, too_much: bool = False) -> None:
        super().__init__(message)
        self.retry_after = retry_after
        self.too_much = too_much


class CheckError(TPOError):
    """A reward or a model failed its check; using it would mislead."""
