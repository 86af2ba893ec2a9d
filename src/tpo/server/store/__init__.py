"""Stored responses: kept in a folder, fetched later, continued, and worked on in the background."""

from tpo.server.store.background import BackgroundResponses
from tpo.server.store.endpoint import ResponsesEndpoint
from tpo.server.store.folder import ResponseStore
from tpo.server.store.routes import stored_routes

__all__ = ["BackgroundResponses", "ResponseStore", "ResponsesEndpoint", "stored_routes"]
