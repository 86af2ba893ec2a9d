"""Generation backends: any OpenAI-compatible server, and llama.cpp in this process."""
