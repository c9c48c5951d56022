"""``autotune storage backup``, ``check`` and ``upgrade``."""

from pathlib import Path

import click

from autotune.cli.options import NamedPath, json_option, storage_option
from autotune.cli.stopping import exit_if_stopped, telling_of_the_rest
from autotune.errors import RunError


@click.command()
@click.argument("file", type=NamedPath(is_written=True))
@storage_option
def backup(*, file: Path, storage: str) -> None:
    """Copy the database to FILE while studies run.

    The copy has everything that was recorded until then. To restore it, stop all studies, delete
    the database with its -wal and -shm, and copy FILE to its place. Checkpoints are no part of it:
    a trial whose checkpoint is gone starts again.
    """
    from autotune.coordinator.upkeep.database import back_up_storage

    with telling_of_the_rest("Stopped: no backup was made, and nothing is left of it; the same command makes one."):
        size = back_up_storage(storage, file=file)
    click.echo(f"Wrote {file}, {size / 1e6:.1f} MB.", err=True)


@click.command()
@click.option("--accept", is_flag=True, help="Take a copy that was made without its -wal as it is.")
@json_option
@storage_option
def check(*, accept: bool, as_json: bool, storage: str) -> None:
    """Read all of the database, and say what is wrong with it.

    The exit status is 0 where nothing is, 1 where something is, 2 where it can't be opened.
    """
    from autotune.cli.output import echo_json
    from autotune.coordinator.upkeep.database import check_storage

    examination = check_storage(storage, is_copy_accepted=accept)
    if as_json:
        findings = [{"what": each.what, "problem": each.problem} for each in examination.findings]
        echo_json({"storage": examination.storage, "is_sound": examination.is_sound, "findings": findings})
    else:
        for each in examination.findings:
            click.echo(f"{'ok ' if each.problem is None else 'BAD'}  {each.what}")
            if each.problem is not None:
                click.echo(f"     {each.problem}")
    if not examination.is_sound:
        remedy = "restore a backup, or save what can be read with `sqlite3 FILE .recover | sqlite3 NEW`"
        raise RunError(f"{examination.storage}: a database holds together, got what is said above; {remedy}")


@click.command()
@click.option("--backup", type=NamedPath(is_written=True), help="Where the backup goes; else beside the database.")
@click.option("--no-backup", is_flag=True, help="Make none: there is one, as PostgreSQL's pg_dump makes it.")
@storage_option
def upgrade(*, backup: Path | None, no_backup: bool, storage: str) -> None:
    """Bring the database to this version's schema, after a backup.

    Optuna's tables too. Nothing happens to a database that is up to date.
    """
    from autotune.coordinator.interrupts import Interrupts
    from autotune.coordinator.upkeep.database import upgrade as upgrade_storage

    rest = "Stopped: what was not upgraded yet is as it was; the same command does the rest."
    with Interrupts() as interrupts:
        with telling_of_the_rest(rest):
            done = upgrade_storage(
                storage,
                backup=backup,
                is_backed_up=no_backup,
                tell=lambda line: click.echo(line, err=True),
                interrupts=interrupts,
            )
        if done.before != done.after:
            click.echo(f"Schema {done.before} is {done.after} now.", err=True)
        if done.has_upgraded_optuna:
            click.echo("Optuna's tables are those of the installed version now.", err=True)
        if done.before == done.after and not done.has_upgraded_optuna:
            click.echo(f"Schema {done.after} is up to date.", err=True)
        exit_if_stopped(interrupts, is_told=False)
