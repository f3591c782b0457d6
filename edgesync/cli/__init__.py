"""Commands that call a server's REST API, one module a verb, and what they share."""
