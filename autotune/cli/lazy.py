"""Commands that are imported when they run, and not before."""

from collections.abc import Mapping
from importlib import import_module
from typing import NamedTuple

import click

_GROUPS = ("study", "trial", "storage", "space")
"""Groups in which a command is looked for that was typed without its group."""


class LazyCommand(NamedTuple):
    """Where a command is, and the line that a listing shows for it without importing it."""

    location: str
    """``package.module:attribute``."""
    summary: str
    """The first line of the command's own help; a test holds the two together."""


class LazyGroup(click.Group):
    """A group that shows its help from a table, and imports a command only to run or to complete it.

    click's own group imports every command for its first help line; ``autotune --help`` has to
    answer in the time that Python and click need. For the same reason this module does without
    ``typing_extensions.override`` and ``dataclasses``.
    """

    def __init__(self, *, lazy: Mapping[str, LazyCommand], name: str, help: str) -> None:  # noqa: A002 - click's word
        super().__init__(name=name, help=help, no_args_is_help=True)
        self.lazy = dict(lazy)

    def list_commands(self, ctx: click.Context) -> list[str]:  # type: ignore[explicit-override]
        """Names in the order of the table."""
        del ctx
        return list(self.lazy)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # type: ignore[explicit-override]
        """The command, imported now; None where there is none of this name."""
        del ctx
        entry = self.lazy.get(cmd_name)
        if entry is None:
            return None
        module, _, attribute = entry.location.partition(":")
        command = getattr(import_module(module), attribute)
        assert isinstance(command, click.Command)
        return command

    def resolve_command(  # type: ignore[explicit-override]
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """The command of the first word, or an error with the nearest name; click knows only imported commands."""
        name = args[0]
        if name not in self.lazy and not name.startswith("-") and not ctx.resilient_parsing:
            from autotune.spec.names import nearest

            near = self._within(ctx, name) or nearest(name, self.lazy)
            ctx.fail(f"No such command {name!r}. {f'Did you mean {near!r}?' if near else ''}".rstrip())
        return super().resolve_command(ctx, args)

    def _within(self, ctx: click.Context, name: str) -> str | None:
        """The full name of the command of exactly this name in one of the groups: ``study best`` for ``best``."""
        groups = ((each, self.get_command(ctx, each)) for each in self.lazy if each in _GROUPS)
        return next((f"{each} {name}" for each, g in groups if isinstance(g, LazyGroup) and name in g.lazy), None)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # type: ignore[explicit-override]
        """The table, as a section of the help."""
        del ctx
        with formatter.section("Commands"):
            formatter.write_dl([(name, entry.summary) for name, entry in self.lazy.items()])
