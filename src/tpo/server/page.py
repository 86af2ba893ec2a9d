"""The page at /ui: what is being answered, traces that were kept, and a playground on the server's own models."""

from __future__ import annotations

import secrets
from pathlib import Path

from starlette.applications import Starlette

from tpo.engine.events import Listener
from tpo.engine.result import Result
from tpo.server.admission import Admission
from tpo.server.asked import asked_for
from tpo.server.service import Service
from tpo.server.wire.chat import chat_request
from tpo.view import Play, PlayOptions, Sources, create_app


def page(service: Service, aligned: Admission, traces: Path | None) -> Starlette:
    """Make the page.

    Args:
        service: who answers the playground's questions.
        aligned: where they wait, like everybody else's.
        traces: a folder of traces to show.
    """

    async def align(question: str, options: PlayOptions, listen: Listener) -> Result:
        service.expect_ready()
        model = service.models.names[0]
        search = {"method": options.method, "width": options.width, "depth": options.depth}
        body = {"model": model, "messages": [{"role": "user", "content": question}], "tpo": search}
        asked = asked_for(chat_request(body), body, None, service.setup.options, service.setup.bounds)
        async with aligned.admitted():
            answered = await service.answer(asked, model, secrets.token_hex(8), 0.0, listen, lambda tokens: None)
        return answered.result

    bounds, spec = service.setup.bounds, service.spec
    play = Play(
        align,
        "the server's own models and reward",
        spec.method.name,
        spec.width,
        spec.depth,
        most_width=bounds.width,
        most_depth=bounds.depth,
    )
    # Who may ask, and under which names, is looked after in front of the whole server.
    return create_app(Sources([traces] if traces is not None else []), play, service.live, hosts=None)
