"""httpx for the command line, without the part of it that is a command itself.

httpx imports rich, click and pygments for its own command line where they are installed: 45 of the
80 ms that importing it takes. It works without that part, as where rich is not installed.
"""

import sys

sys.modules.setdefault("httpx._main", None)  # type: ignore[arg-type]  # "not there"

import httpx  # noqa: E402

__all__ = ["httpx"]
