"""A request that cannot be served as it is, and what of it is at fault."""

from __future__ import annotations


class BadRequest(Exception):
    """What a client sent cannot be served; its text says what, where, and what to do.

    Attributes:
        param: the field at fault, such as `messages[0].role`; None where it is no field.
        code: OpenAI's code for it, where there is one.
    """

    def __init__(self, message: str, param: str | None = None, code: str | None = None) -> None:
        super().__init__(message)
        self.param = param
        self.code = code


def refused(where: str, why: str, code: str | None = None) -> BadRequest:
    """A refusal of a field.

    Args:
        where: the field, such as `input[0]`; empty for the body as a whole.
        why: what is wrong with it, as the end of a sentence that begins with its name.
        code: OpenAI's code for it, where there is one.
    """
    return BadRequest(f"{where or 'The body'} {why.rstrip('.')}.", where or None, code)
