"""Settings of the Python interpreter for a server, also for one in a benchmark."""

import gc
import sys
from collections.abc import Iterator
from contextlib import contextmanager

_THRESHOLDS = (20_000, 20, 50)
_SWITCH_SECONDS = 0.000_5


@contextmanager
def tuned_interpreter() -> Iterator[None]:
    """Collect garbage less often and switch threads sooner; afterwards as before.

    What is read from messages has no cycles. By default garbage is looked for every 700 containers,
    that is every few reports, which took a third of their CPU. Each row that SQLite has put
    releases the interpreter, and a busy event loop gives it back after 5 ms by default: a group of
    256 reports could wait for a second (docs/performance.md).
    """
    thresholds, switch = gc.get_threshold(), sys.getswitchinterval()
    gc.freeze()  # what is loaded stays: looking through it takes 0.07 s, now and at the end
    gc.set_threshold(*_THRESHOLDS)
    sys.setswitchinterval(_SWITCH_SECONDS)
    try:
        yield
    finally:
        sys.setswitchinterval(switch)
        gc.set_threshold(*thresholds)
