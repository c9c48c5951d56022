"""How seldom Python looks for garbage that refers to itself: while our processes start, and all through a command."""

import gc
from collections.abc import Iterator
from contextlib import contextmanager

_THRESHOLDS = (50_000, 20, 20)
"""Objects more until the youngest are looked through, and how many such looks until older ones are; Python's own first
number is 700 or 2,000."""


@contextmanager
def collected_seldom() -> Iterator[None]:
    """Let the collector look seldom in this process, until the block ends.

    Importing torch and MLflow makes hundreds of thousands of objects, all of which stay. Python looks for garbage among
    them a thousand times meanwhile, which takes a fifth of the time.
    """
    before = gc.get_threshold()
    gc.set_threshold(*_THRESHOLDS)
    try:
        yield
    finally:
        gc.set_threshold(*before)
