"""Stored responses: kept in a folder, fetched later, continued, and worked on in the background."""
