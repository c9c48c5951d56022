"""``autotune study delete``, ``sync`` and ``rebuild-mlflow``."""

import click

from autotune.cli.names import complete_study
from autotune.cli.options import Seconds, storage_option, study_argument, tracking_option
from autotune.cli.stopping import telling_of_the_rest
from autotune.errors import RunError


@click.command()
@study_argument
@click.option("--yes", is_flag=True, help="Do not ask.")
@storage_option
@tracking_option
def delete(*, name: str, yes: bool, storage: str, tracking_uri: str) -> None:
    """Delete a study with its checkpoints and MLflow runs."""
    from autotune.coordinator.upkeep.deletion import delete_study
    from autotune.report.summaries.reading import read_study

    num_trials = len(read_study(storage, name=name).trials)
    if not yes:
        what = f"Delete study {name}: {num_trials} trials, their checkpoints, logs and MLflow runs?"
        click.confirm(what, abort=True, err=True)
    with telling_of_the_rest(f"Stopped: a part of study {name} may be gone; the same command deletes the rest."):
        problem = delete_study(storage, name=name, tracking_uri=tracking_uri)
    if problem is not None:
        click.echo(problem, err=True)
    click.echo(f"Deleted study {name}.", err=True)


@click.command()
@click.argument("name", required=False, shell_complete=complete_study)
@click.option(
    "--timeout",
    type=Seconds(min=0),
    default=60.0,
    show_default=True,
    metavar="SECONDS",
    help="Give up after this long.",
)
@storage_option
@tracking_option
def sync(*, name: str | None, timeout: float, storage: str, tracking_uri: str) -> None:
    """Deliver to MLflow what it has not got yet.

    For study NAME, or for all studies of the storage. Starting a study does the same for it. With
    NAME, the report and its verdict are written into MLflow and Optuna's dashboard as well, as at
    the end of a study that took a minute or more.
    """
    from autotune.coordinator.upkeep.delivery import deliver

    with telling_of_the_rest("Stopped: MLflow may lack some of the records; the same command delivers them."):
        state = deliver(storage, name=name, tracking_uri=tracking_uri, timeout=timeout)
    if state.num_waiting:
        raise RunError(f"MLflow has not got {state.num_waiting} records yet ({state.error}); try again when it can")
    if state.error:  # what waits is counted for the MLflow that was delivered to before
        raise RunError(f"MLflow has not got all records: {state.error}")
    click.echo("MLflow has all records.", err=True)
    if name is not None:
        from autotune.recording.places import Places
        from autotune.report.dashboards.annotating import annotate_study

        with telling_of_the_rest(
            "Stopped before all notes for the dashboards were there; the same command writes them."
        ):
            problem = annotate_study(name, places=Places(storage=storage, tracking_uri=tracking_uri))
        if problem is not None:
            raise RunError(problem)


@click.command("rebuild-mlflow")
@study_argument
@click.option(
    "--timeout",
    type=Seconds(min=0),
    default=3600.0,
    show_default=True,
    metavar="SECONDS",
    help="Give up after this long; the same command goes on.",
)
@storage_option
@tracking_option
def rebuild_mlflow(*, name: str, timeout: float, storage: str, tracking_uri: str) -> None:
    """Make all MLflow runs of a study again.

    For an MLflow that has lost them, or that is new (--tracking-uri): runs with parameters, metrics
    at their original times, tags, configurations and logs, and the best trial's model where its
    checkpoint is there. What MLflow still has stays one run each. Cut off, the same command goes
    on. Later starts of the study need the same --tracking-uri.
    """
    from autotune.coordinator.upkeep.delivery import rebuild

    with telling_of_the_rest("Stopped: MLflow may lack some of the records; the same command goes on."):
        state = rebuild(
            storage,
            name=name,
            tracking_uri=tracking_uri,
            timeout=timeout,
            note=lambda line: click.echo(line, err=True),
        )
    if state.num_waiting or state.error:
        left = f"MLflow has not got {state.num_waiting} records yet ({state.error})"
        raise RunError(f"study {name}: {left}; the same command goes on")
    click.echo(f"MLflow has all records of study {name}.", err=True)
