"""`/v1/messages`, Anthropic's protocol (https://docs.anthropic.com/en/api/messages)."""
