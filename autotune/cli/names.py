"""Shell completion of the names of studies and of study specs; it offers nothing rather than fail."""

import contextlib
import os
from collections.abc import Callable, Iterable
from typing import TypeAlias

import click
from click.shell_completion import CompletionItem

from autotune.report.places import DEFAULT_STORAGE

_Completer: TypeAlias = Callable[[click.Context, click.Parameter, str], list[CompletionItem]]


def _complete_names(names: Callable[[click.Context], Iterable[str]]) -> _Completer:
    def complete(ctx: click.Context, _parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
        # Whatever goes wrong here (no database yet, a server that is down, a bug), the
        # user is in the middle of a line: a message would garble it.
        with contextlib.suppress(Exception):
            return [CompletionItem(name) for name in names(ctx) if name.startswith(incomplete)]
        return []

    return complete


def _study_names(ctx: click.Context) -> list[str]:
    # While the shell waits for an answer, a server that does not reply is as good as none.
    os.environ.setdefault("PGCONNECT_TIMEOUT", "2")
    from autotune.recording.database import open_database
    from autotune.recording.records import Records

    url = ctx.params.get("storage") or os.environ.get("AUTOTUNE_STORAGE", DEFAULT_STORAGE)
    return sorted(study.name for study in Records(open_database(url, create=False)).studies())


def _space_names(_ctx: click.Context) -> tuple[str, ...]:
    from autotune.spec.builtin import list_spaces

    return list_spaces()


complete_study = _complete_names(_study_names)


def complete_space(ctx: click.Context, parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Names of specs that come with the package, and files."""
    items = _complete_names(_space_names)(ctx, parameter, incomplete)
    return items or [CompletionItem(incomplete, type="file")]
