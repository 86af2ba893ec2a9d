"""The driver: runs any method against real backends, and writes down everything that happens."""
