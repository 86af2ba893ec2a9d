"""Does it work? Probes of rewards and models, before they mislead."""
