"""Shell completion of the names of studies and of study specs; it offers nothing rather than fail."""

import contextlib
import os
import threading
from collections.abc import Callable, Iterable
from typing import TypeAlias

import click
from click.shell_completion import CompletionItem

from autotune.report.text.places import DEFAULT_STORAGE

_Completer: TypeAlias = Callable[[click.Context, click.Parameter, str], list[CompletionItem]]

_Look: TypeAlias = Callable[[], Iterable[str]]
"""Looks for all names where they are kept."""

_PATIENCE_SECONDS = 2.0
"""How long completion waits for a server; after that it offers no studies, since the shell is waiting."""


def _complete_names(ready: Callable[[click.Context], _Look]) -> _Completer:
    """Complete with the names that a look finds, which is made ready first: imports are no server's delay."""

    def complete(ctx: click.Context, _parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
        found: list[str] = []

        # Whatever goes wrong here (no database yet, a server that is down, a bug), the user is
        # in the middle of a line, which a message would garble.
        def look(names: _Look) -> None:
            with contextlib.suppress(Exception):
                found.extend(names())

        with contextlib.suppress(Exception):
            thread = threading.Thread(target=look, args=(ready(ctx),), daemon=True)
            thread.start()
            thread.join(_PATIENCE_SECONDS)
        return [CompletionItem(name) for name in list(found) if name.startswith(incomplete)]

    return complete


def _study_names(ctx: click.Context) -> _Look:
    from autotune.recording.database import open_database
    from autotune.recording.records import Records

    url = ctx.params.get("storage") or os.environ.get("AUTOTUNE_STORAGE", DEFAULT_STORAGE)
    return lambda: sorted(study.name for study in Records(open_database(url, create=False)).studies())


def _space_names(_ctx: click.Context) -> _Look:
    from autotune.spec.builtin import list_spaces

    return list_spaces


complete_study = _complete_names(_study_names)
_complete_space_name = _complete_names(_space_names)


def complete_space(ctx: click.Context, parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Names of specs that come with the package; where none begins like that, files."""
    return _complete_space_name(ctx, parameter, incomplete) or [CompletionItem(incomplete, type="file")]
