"""A holder of a study that lives."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from autotune.recording.lease import StudyLease


@contextmanager
def beating(lease: StudyLease) -> Iterator[None]:
    """The lease's counter moves all the time."""
    stop = threading.Event()

    def live() -> None:
        while not stop.wait(0.05):
            lease.beat()

    thread = threading.Thread(target=live)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()
