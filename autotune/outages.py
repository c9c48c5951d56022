"""A database server that is gone for a while: what was asked of it is asked again, aloud, until it answers.

A thread says with ``waiting_out`` that it waits, and who hears of it (for a file that another process
has locked too: ``recording/waiting.py``). From then on what is handed to
``persist`` is done again when it ended in StorageGoneError, and so are the methods of classes that
are ``repeatable``. The outermost one of such calls is done again as a whole, since the transactions
inside of it are lost together. A commit that was cut off may have been done or not: whatever is done
again must come to the same either way.
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

_T = TypeVar("_T")
_P = ParamSpec("_P")
_C = TypeVar("_C", bound=type)


@dataclass(frozen=True, kw_only=True)
class Patience:
    """How long a thread waits, and who hears of it."""

    tell: Callable[[str], None]
    limit_seconds: float
    attempt_seconds: float
    should_give_up: Callable[[], bool]


class _Thread(threading.local):
    patience: Patience | None = None
    is_inside = False


_thread = _Thread()


@contextmanager
def waiting_out(
    tell: Callable[[str], None],
    *,
    limit_seconds: float = 600.0,
    attempt_seconds: float = 5.0,
    should_give_up: Callable[[], bool] = lambda: False,
) -> Iterator[None]:
    """Wait for servers that are gone and files that are locked, in this thread; without it little is waited for.

    Args:
        tell: Told one line when waiting begins, with its cause, and one when it is over.
        limit_seconds: Of one outage; then its error is raised.
        attempt_seconds: For which a file may be locked before that is told.
        should_give_up: Asked between two attempts; then the error is raised as well.
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


def persist(do: Callable[[], _T], *, again: Callable[[], _T] | None = None) -> _T:
    """What ``do`` returns, done again as often as the server is gone meanwhile.

    Args:
        do: May be done twice, unless ``again`` is there for the second and later times.
        again: Finds out what an earlier attempt did, and does the rest.
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


def repeatable(*, but: tuple[str, ...] = ()) -> Callable[[_C], _C]:
    """A class whose public methods persist; each comes to the same when it is done twice, ``but`` these."""

    def decorate(kind: _C) -> _C:
        for name, member in list(vars(kind).items()):
            if inspect.isfunction(member) and not name.startswith("_") and name not in but:
                setattr(kind, name, _persisting(member))
        return kind

    return decorate


def _persisting(method: Callable[_P, _T]) -> Callable[_P, _T]:
    @functools.wraps(method)
    def persisting(*args: _P.args, **kwargs: _P.kwargs) -> _T:
        return persist(lambda: method(*args, **kwargs))

    return persisting


class _Outage:
    """One, from its first error until an attempt comes through."""

    def __init__(self, patience: Patience) -> None:
        self._patience = patience
        self._since: float | None = None
        self._pause = 0.0
        self._is_told = False

    @property
    def has_begun(self) -> bool:
        return self._since is not None

    def endure(self, error: StorageGoneError) -> None:
        """Pause before the next attempt; raise the error where there is to be none."""
        now = time.monotonic()
        if self._since is None:  # a connection alone may be gone: the next one is tried at once, and nothing is told
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
        if self._is_told and self._since is not None:
            self._patience.tell(f"the database takes records again, after {time.monotonic() - self._since:.0f} s")
