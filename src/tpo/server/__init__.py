"""An OpenAI-compatible server whose answers are aligned."""
