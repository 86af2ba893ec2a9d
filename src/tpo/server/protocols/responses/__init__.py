"""`/v1/responses` (https://platform.openai.com/docs/api-reference/responses): a reader of requests, and a renderer."""
