"""Searches under way: each waits for its turn, and listeners see its events.

Requests of the API and of the page both go through here, so that both are counted and limited.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext

from tpo.engine.events import Listener, both
from tpo.scheduling.limiter import Owner, call_owner
from tpo.server.admission import Admission
from tpo.server.asgi import RequestInfo
from tpo.server.request_options import RequestOptions
from tpo.server.service import Durable, Service
from tpo.session.response import SearchResult

# Makes a listener for one request, and closes it when the request is over.
Watch = Callable[[RequestInfo, RequestOptions], AbstractContextManager[Listener]]


def unwatched(info: RequestInfo, options: RequestOptions) -> AbstractContextManager[Listener]:
    """No listener."""
    return nullcontext(lambda event: None)


class SearchRegistry:
    """Runs searches for requests.

    Args:
        service: models and rewards.
        admission: how many searches run at once.
        watch: makes further listeners (metrics, telemetry, a recorder).
    """

    def __init__(self, service: Service, admission: Admission, watch: Watch = unwatched) -> None:
        self.service = service
        self.admission = admission
        self._watch = watch

    async def search(
        self,
        options: RequestOptions,
        model: str,
        id: str,
        info: RequestInfo,
        listen: Listener,
        durable: Durable | None = None,
    ) -> SearchResult:
        """Run a search when its turn has come.

        Args:
            options: the search.
            model: the policy's model.
            id: the answer's id.
            info: the request, whose account the tokens are charged to.
            listen: called with each event.
            durable: where the search survives the server's end.

        Raises:
            Busy: too many requests wait already.
            TPOError: there is no answer.
            ApiError: the time ran out before there was one.
        """
        call_owner.set(Owner(info.client, info.weight))
        async with self.admission.admitted(info.client, info.weight):
            waited = 0.0 if info.background else time.monotonic() - info.began
            info.servers = await self.service.addresses(model)
            with self._watch(info, options) as watch:
                listener = both(watch, listen)
                return await self.service.answer(options, model, id, waited, listener, info.spend, durable)
