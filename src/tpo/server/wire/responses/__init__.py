"""OpenAI's Responses API, as another way to say a chat completion: requests in one direction, answers in the other.

Nothing here does I/O. A request becomes the body of a chat completion, whoever answers that; what comes back, whole or
in chunks, becomes a response or its events (https://platform.openai.com/docs/api-reference/responses).
"""

from tpo.server.wire.responses.output import Event
from tpo.server.wire.responses.request import ResponsesRequest, chat_body, responses_request
from tpo.server.wire.responses.telling import Telling, told

__all__ = ["Event", "ResponsesRequest", "Telling", "chat_body", "responses_request", "told"]
