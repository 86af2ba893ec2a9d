"""Searches as the server makes them: each waits for its place, and whoever looks on hears what happens.

What is asked over the API and what is asked on the page go through here, and so count alike.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext

from tpo.engine.events import Listener, both
from tpo.server.admission import Admission
from tpo.server.answered import Answered
from tpo.server.asgi import About
from tpo.server.asked import Asked
from tpo.server.service import Service

# Listens to one request, and sees how it ended.
Watch = Callable[[About, Asked], AbstractContextManager[Listener]]


def unwatched(known: About, asked: Asked) -> AbstractContextManager[Listener]:
    """Nobody listens."""
    return nullcontext(lambda event: None)


class Searches:
    """Answers requests by searches.

    Args:
        service: who answers.
        aligned: how many are worked on at once.
        watch: who else listens (metrics, traces, a journal).
    """

    def __init__(self, service: Service, aligned: Admission, watch: Watch = unwatched) -> None:
        self.service = service
        self._aligned = aligned
        self._watch = watch

    async def answer(self, asked: Asked, model: str, id: str, known: About, listen: Listener) -> Answered:
        """Answer a request when its turn has come.

        Args:
            asked: what is wanted.
            model: the policy's model.
            id: the answer's id.
            known: the request, which pays for it.
            listen: told of everything that happens.

        Raises:
            Busy: too many wait already.
            TPOError: there is no answer.
            ApiError: there was no time for one.
        """
        async with self._aligned.admitted():
            waited = time.monotonic() - known.began
            with self._watch(known, asked) as watch:
                return await self.service.answer(asked, model, id, waited, both(watch, listen), known.spend)
