"""``autotune doctor``."""

import sys

import click

from autotune.cli.options import json_option, storage_option, tracking_option

_STYLES = {"ok": "green", "note": "yellow", "mend": "red"}


@click.command()
@storage_option
@tracking_option
@json_option
def doctor(*, storage: str, tracking_uri: str, as_json: bool) -> None:
    """Check this machine's set-up, and say what to mend.

    Looks at torch, CUDA and a compiler, cores and their load, memory, shared memory, disk, the
    database, MLflow and the clock. Exit status 1 when something must be mended.

    JSON: a list with the keys name, state (ok, note, mend), found, remedy.
    """
    from autotune.cli.output import echo_json, fitted
    from autotune.report.machine.checkup import check_setup, needs_mending

    findings = check_setup(storage, tracking_uri=tracking_uri)
    if as_json:
        echo_json(findings)
    else:
        width = max(len(finding.name) for finding in findings)
        for finding in findings:
            line = fitted(f"{finding.state:<4}  {finding.name:<{width}}  {finding.found}", hang=width + 8)
            click.echo(line.replace(finding.state, click.style(finding.state, fg=_STYLES[finding.state]), 1))
            if finding.remedy is not None:
                click.echo(fitted(f"{'':<{width + 8}}{finding.remedy}", hang=width + 8))
    if needs_mending(findings):
        sys.exit(1)
