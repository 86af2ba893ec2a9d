"""`/v1/responses` (https://platform.openai.com/docs/api-reference/responses): a reader of requests, and a renderer."""

from tpo.server.protocols.responses.reader import RESPONSES, read_responses, refuse_stored
from tpo.server.protocols.responses.renderer import ResponsesRenderer
from tpo.server.protocols.responses.request import ResponsesRequest

__all__ = ["RESPONSES", "ResponsesRenderer", "ResponsesRequest", "read_responses", "refuse_stored"]
