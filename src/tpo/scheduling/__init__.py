"""How many calls are in flight, which goes next, and to which server."""
