"""``autotune study export``."""

from pathlib import Path
from typing import TYPE_CHECKING, cast

import click

from autotune.cli.options import NamedPath, storage_option, study_argument

if TYPE_CHECKING:
    from autotune.report.export.study import ExportFormat

_SUFFIXES = {".csv": "csv", ".parquet": "parquet", ".json": "json"}


@click.command()
@study_argument
@click.option(
    "--format", "kind", type=click.Choice(["csv", "parquet", "json"]), help="As the suffix of FILE says, if left out."
)
@click.option(
    "--output", type=NamedPath(dir_okay=False, is_written=True), metavar="FILE", required=True, help="Where to write."
)
@storage_option
def export(*, name: str, kind: str | None, output: Path, storage: str) -> None:
    """Write all trials and every epoch that they reported to files.

    CSV and parquet are two tables: FILE has a row a trial, and FILE with .epochs before its
    suffix a row an epoch; the column `trial` joins them. JSON is one file with both, and the spec.
    """
    from autotune.report.export.study import export_study
    from autotune.report.summaries.record import read_record

    if output == Path("-"):
        raise click.UsageError(f"--output -: an export is files, not stdout; name one, such as {name}.json")
    found = kind or _SUFFIXES.get(output.suffix)
    if found is None:
        raise click.UsageError(f"{output}: the suffix must be .csv, .parquet or .json, or --format must say which")
    for written in export_study(read_record(storage, name=name), kind=cast("ExportFormat", found), output=output):
        click.echo(written)
