"""The protocols that clients speak. Each has a reader of requests and a renderer of the one stream of events."""
