"""HTTP for models and rewards alike: endpoints with keys and proxies, one client, failures, retries, redaction."""
