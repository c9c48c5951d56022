"""Ctrl-C in the middle of a transaction."""

from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from sqlalchemy import Engine, event


@contextmanager
def cut_off_at(statement: str, *, engine: Engine) -> Iterator[None]:
    """The block must come to a statement that begins so, and ends there by Ctrl-C, before it is executed."""

    def cut_off(*call: object) -> None:
        if str(call[2]).startswith(statement):
            raise KeyboardInterrupt

    event.listen(engine, "before_cursor_execute", cut_off)
    with pytest.raises(KeyboardInterrupt):
        yield
    event.remove(engine, "before_cursor_execute", cut_off)
