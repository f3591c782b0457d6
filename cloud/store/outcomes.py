"""The outcome of the writes of a store."""

import threading


class WriteOutcomes:
    """Counts writes by what came of them; safe to use from several threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        # How many transactions that may write were committed, and how many the database refused.
        self.committed = 0
        self.failed = 0
        # Why the last one failed; empty where it was committed.
        self.trouble = ""

    def record(self, trouble: str = "") -> None:
        """Count one; *trouble* states why it failed."""
        with self._lock:
            self.trouble = trouble
            if trouble:
                self.failed += 1
            else:
                self.committed += 1
