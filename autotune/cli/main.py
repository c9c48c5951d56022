"""The root command, and the one place where an error becomes a message and an exit status."""

import sys
from typing import NoReturn

import click

from autotune.cli.lazy import LazyCommand, LazyGroup
from autotune.errors import AutotuneError

root = LazyGroup(
    name="autotune",
    help="""Finds the configuration with which a PyTorch training reaches its target soonest.

    Start with `autotune study start`, which runs the study that comes with the package.

    Exit status: 0 done, 1 failed, 2 wrong usage or input, 130 stopped by a signal.
    """,
    lazy={
        "study": LazyCommand("autotune.cli.study:study", "Start, resume and look at studies."),
        "trial": LazyCommand("autotune.cli.trial:trial", "Work with one trial of a study."),
        "space": LazyCommand("autotune.cli.space:space", "Look at study specs and their search spaces."),
        "hardware": LazyCommand("autotune.cli.hardware:hardware", "Show the machine at hand as studies see it."),
        "dashboard": LazyCommand("autotune.cli.servers:dashboard", "Serve the Optuna dashboard of a storage."),
        "mlflow": LazyCommand("autotune.cli.servers:mlflow", "Serve the MLflow UI with the recorded runs."),
        "completion": LazyCommand("autotune.cli.completion:completion", "Print the script that completes in a shell."),
    },
)
click.version_option(package_name="autotune-torch", prog_name="autotune")(root)

INTERRUPTED_STATUS = 130
"""128 + SIGINT, as shells count it."""


def main() -> NoReturn:
    """Runs the command line of this process and exits with its status."""
    try:
        status = root.main(prog_name="autotune", standalone_mode=False)
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except click.Abort as abort:
        click.echo("Aborted!", err=True)
        # click's own status for this is 1, which would say that something failed.
        sys.exit(INTERRUPTED_STATUS if isinstance(abort.__cause__, KeyboardInterrupt) else 1)
    except AutotuneError as error:
        click.echo(f"Error: {error}", err=True)
        sys.exit(error.exit_status)
    sys.exit(status)
