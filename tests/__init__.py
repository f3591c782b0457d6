"""The tests, and what they share."""

import importlib.util
import sys

# httpcore looks for it some times in each request, which takes 80 us where it is not installed.
# Here and not in `conftest`, since forks make requests, too.
if importlib.util.find_spec("sniffio") is None:
    sys.modules["sniffio"] = None  # type: ignore[assignment]
