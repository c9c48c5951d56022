"""A database that fails while trials train: a fault of the run, and nothing that was typed wrong."""

from collections.abc import Iterator
from contextlib import contextmanager

from autotune.errors import StorageError, StudyCutOffError


@contextmanager
def cutting_off() -> Iterator[None]:
    """Turn a StorageError raised inside the context into a StudyCutOffError, whose exit status is 1."""
    try:
        yield
    except StorageError as error:
        raise StudyCutOffError(str(error)) from error
