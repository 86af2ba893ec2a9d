"""Sessions: models and a reward that are opened once, answer many queries, and are closed once."""
