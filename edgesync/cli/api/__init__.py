"""Client of the REST API: requests, saved contexts, event streams, hints on errors."""
