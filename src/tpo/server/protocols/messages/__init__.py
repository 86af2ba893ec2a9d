"""`/v1/messages`, Anthropic's protocol (https://docs.anthropic.com/en/api/messages)."""

from tpo.server.protocols.messages.reader import COUNTED, MESSAGES, MessagesRequest, read_messages
from tpo.server.protocols.messages.renderer import MessagesRenderer

__all__ = ["COUNTED", "MESSAGES", "MessagesRenderer", "MessagesRequest", "read_messages"]
