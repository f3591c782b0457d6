"""The text that stands for a value which is never returned."""

MASK = "********"
"""In a request it keeps the value that is stored."""
