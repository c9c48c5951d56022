"""Waiting for a database server that is gone for a while: calls are repeated, and the wait is told, until it answers.

A thread asks for this with ``waiting_out`` and names who is told; this covers files that another process has
locked as well (``recording/waiting.py``). Inside it, calls handed to ``persist`` and methods of classes that are
``repeatable`` are repeated when they end in StorageGoneError. Of nested calls the outermost is repeated as a
whole, since the transactions inside it are lost together. A commit that was cut off may or may not have been
done: a repeated call must have the same effect either way.
"""

import functools
import inspect
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import ParamSpec, TypeVar

from autotune.errors import StorageGoneError

_FIRST_PAUSE_SECONDS = 0.1
_LONGEST_PAUSE_SECONDS = 1.0
_NOT_REPEATED = "is_not_repeated"
"""The attribute that marks a method."""

_T = TypeVar("_T")
_P = ParamSpec("_P")
_C = TypeVar("_C", bound=type)
_M = TypeVar("_M", bound=Callable[..., object])


@dataclass(frozen=True, kw_only=True)
class Patience:
    """How long a thread waits, and who is told."""

    tell: Callable[[str], None]
    limit_seconds: float
    attempt_seconds: float
    should_give_up: Callable[[], bool]


class _Thread(threading.local):
    patience: Patience | None = None
    is_inside = False
    waited_seconds = 0.0


_thread = _Thread()


@contextmanager
def waiting_out(
    tell: Callable[[str], None],
    *,
    limit_seconds: float = 600.0,
    attempt_seconds: float = 5.0,
    should_give_up: Callable[[], bool] = lambda: False,
) -> Iterator[None]:
    """Make this thread wait for servers that are gone and files that are locked; otherwise it hardly waits.

    Args:
        tell: Told one line when waiting begins, with its cause, and one when it is over.
        limit_seconds: Longest wait in one outage, after which its error is raised.
        attempt_seconds: How long a file may be locked before that is told.
        should_give_up: Asked between two attempts; True raises the error at once.
    """
    before = _thread.patience
    _thread.patience = Patience(
        tell=tell, limit_seconds=limit_seconds, attempt_seconds=attempt_seconds, should_give_up=should_give_up
    )
    try:
        yield
    finally:
        _thread.patience = before


def patience_here() -> Patience | None:
    """How this thread waits; None where it does not."""
    return _thread.patience


def waited_seconds() -> float:
    """Seconds that this thread has waited so far for servers that were gone and files that were locked."""
    return _thread.waited_seconds


def undisturbed_seconds() -> float:
    """The time of a clock that stands still while this thread waits: for what an outage is not to be charged to."""
    return time.monotonic() - _thread.waited_seconds


def note_wait(seconds: float) -> None:
    """Add what this thread has waited just now."""
    _thread.waited_seconds += seconds


def persist(do: Callable[[], _T], *, again: Callable[[], _T] | None = None) -> _T:
    """The result of ``do``, which is repeated as long as the server is gone.

    Args:
        do: The call. Doing it twice must have the effect of once, unless ``again`` is given.
        again: Called in place of ``do`` after a failed attempt: finds out what that did, and does the rest.
    """
    patience = _thread.patience
    if patience is None or _thread.is_inside:
        return do()
    outage = _Outage(patience)
    while True:
        _thread.is_inside = True
        try:
            result = (again or do)() if outage.has_begun else do()
        except StorageGoneError as error:
            outage.endure(error)
        else:
            outage.end()
            return result
        finally:
            _thread.is_inside = False


def repeatable(kind: _C) -> _C:
    """Class decorator that makes the public methods persist, except those that are ``not_repeated``.

    Calling such a method twice must have the effect of calling it once.
    """
    for name, member in list(vars(kind).items()):
        if inspect.isfunction(member) and not name.startswith("_") and not hasattr(member, _NOT_REPEATED):
            setattr(kind, name, _persisting(member))
    return kind


def not_repeated(method: _M) -> _M:
    """Mark a method of a ``repeatable`` class that is not repeated as a whole: a second call would not do the same.

    It hands what can be repeated to ``persist`` by itself, or fails when the server is gone.
    """
    setattr(method, _NOT_REPEATED, True)
    return method


def _persisting(method: Callable[_P, _T]) -> Callable[_P, _T]:
    @functools.wraps(method)
    def persisting(*args: _P.args, **kwargs: _P.kwargs) -> _T:
        return persist(lambda: method(*args, **kwargs))

    return persisting


class _Outage:
    """One outage, from its first error until an attempt succeeds."""

    def __init__(self, patience: Patience) -> None:
        self._patience = patience
        self._since: float | None = None
        self._pause = 0.0
        self._is_told = False

    @property
    def has_begun(self) -> bool:
        """Whether an attempt has failed."""
        return self._since is not None

    def endure(self, error: StorageGoneError) -> None:
        """Pause before the next attempt; raise the error where there will be none."""
        now = time.monotonic()
        if self._since is None:  # only the connection may be gone: try another at once, without telling anybody
            self._since = now
            return
        if now - self._since >= self._patience.limit_seconds or self._patience.should_give_up():
            raise error
        if not self._is_told:
            limit = f"{self._patience.limit_seconds:.0f} s"
            self._patience.tell(f"the database is gone ({error.cause}): trials train on, records wait up to {limit}")
            self._is_told = True
        self._pause = min(self._pause * 2 or _FIRST_PAUSE_SECONDS, _LONGEST_PAUSE_SECONDS)
        time.sleep(self._pause)

    def end(self) -> None:
        """Tell that the database takes records again, where it was told that it was gone."""
        if self._since is None:
            return
        seconds = time.monotonic() - self._since
        note_wait(seconds)
        if self._is_told:
            self._patience.tell(f"the database takes records again, after {seconds:.0f} s")
