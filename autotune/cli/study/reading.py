"""``autotune study list``, ``show``, ``best`` and ``trials``."""

from typing import TYPE_CHECKING

import click

from autotune.cli.options import WholeNumber, json_option, storage_option, study_argument, tracking_option

if TYPE_CHECKING:
    from collections.abc import Sequence

    from autotune.report.summaries.trials import TrialSummary


@click.command("list")
@storage_option
@json_option
def list_studies(*, storage: str, as_json: bool) -> None:
    """List the studies of a storage.

    Of several objectives it shows the best value of each, which may be of different trials on the
    Pareto front.

    JSON: a list with the keys of `autotune study show --json`, addresses aside.
    """
    from autotune.cli.output import echo_json, print_table
    from autotune.report.summaries.reading import read_studies
    from autotune.report.summaries.studies import best_values
    from autotune.report.text.wording import format_clock, format_metric

    studies = read_studies(storage)
    if as_json:
        echo_json(studies)
        return
    if not studies:
        click.echo(f"No studies in {storage} yet; `autotune study start` makes one.", err=True)
        return
    rows = []
    for study in studies:
        best = ", ".join(f"{metric} {format_metric(value)}" for metric, value in best_values(study).items())
        num_trials = sum(study.outcomes.values())
        time = format_clock(study.elapsed_seconds)
        rows.append((study.name, study.state, str(num_trials), time, best))
    print_table(("name", "state", "trials", "time", "best"), rows)


@click.command()
@study_argument
@storage_option
@tracking_option
@json_option
def show(*, name: str, storage: str, tracking_uri: str, as_json: bool) -> None:
    """Show what a study found, with addresses to look closer.

    The addresses work while `autotune dashboard` and `autotune mlflow` run.

    JSON keys: name, task, state, is_exhausted (complete, with every combination of its grid tried),
    objectives, budget, elapsed_seconds, speed_seconds (of them, spent on races), races (workload,
    setting, kept, gain, finding, is_answer, reduced_precision, break_evens, batches (larger ones
    that were tried, to know which fit the device), code, samples_per_second, seconds, study,
    created_at), race_taken_over (of an earlier study, whose winner the best trial has), created_at,
    outcomes, baseline, best, front, gain, mlflow_experiment_id, mlflow_run_id, verdict (the keys of
    `autotune study confirm --json`; null until it was confirmed),
    addresses.
    """
    from autotune.cli.output import echo_json, echo_lines, to_json
    from autotune.cli.study.showing import show_lines
    from autotune.recording.places import Places
    from autotune.report.dashboards.addresses import study_addresses
    from autotune.report.summaries.races import told_race
    from autotune.report.summaries.reading import read_study
    from autotune.report.text.raced import lines_to_paste

    report = read_study(storage, name=name)
    places = Places(storage=storage, tracking_uri=tracking_uri)
    addresses = study_addresses(report, places=places)
    if as_json:
        study = to_json(report.study)
        assert isinstance(study, dict)
        echo_json({**study, "verdict": report.verdict, "addresses": addresses})
        return
    echo_lines(show_lines(report, addresses=addresses, places=places))
    told = told_race(report.study.races, best=report.study.best)
    race = told.race if told is not None else report.study.race_taken_over
    for line in lines_to_paste(race.code) if race is not None else ():
        click.echo(line)


@click.command()
@study_argument
@click.option(
    "--format",
    "kind",
    type=click.Choice(["yaml", "json", "python", "command"]),
    help="Print the parameters alone, to take home.",
)
@click.option("--register", "model", metavar="MODEL", help="Add its model to MLflow's registry, under this name.")
@click.option(
    "--trial", "number", type=WholeNumber(min=0), metavar="N", help="With --format or --register: another trial."
)
@storage_option
@tracking_option
@json_option
def best(
    *,
    name: str,
    kind: str | None,
    model: str | None,
    number: int | None,
    storage: str,
    tracking_uri: str,
    as_json: bool,
) -> None:
    """Show the parameters of the best trial.

    With several objectives, those of every trial on the Pareto front. Exit status 1 while no
    trial is complete.

    --format yaml and json print the parameters, command a call of a script of your own with a
    flag for each, and python a whole file that trains the trial again in plain PyTorch, without
    autotune: on a CPU to the same metrics.

    --register logs the model to the trial's run, unless it is there, and makes it the next
    version of MODEL, to be loaded by `mlflow.pytorch.load_model("models:/MODEL/VERSION")`.
    JSON keys: model, version, uri, study, number.

    JSON keys: study, number, metric, value, parameters (of the best trial, by the first
    objective), best, front, baseline (trials with the keys of `autotune study trials --json`).
    """
    from autotune.cli.output import echo_json
    from autotune.report.summaries.reading import read_study
    from autotune.report.summaries.studies import best_of_study

    if kind is not None and model is not None:
        raise click.UsageError("--format and --register exclude each other; give them one after the other")
    if kind is not None:
        from autotune.cli.study.taking import taken_home

        click.echo(taken_home(storage, name=name, kind=kind, number=number))
        return
    if model is not None:
        from autotune.cli.study.taking import registered

        done = registered(storage, name=name, number=number, tracking_uri=tracking_uri, model=model)
        if as_json:
            echo_json(done)
        else:
            click.echo(f"trial {done.number} is version {done.version} of {done.model}: {done.uri}")
        return
    if number is not None:
        raise click.UsageError("--trial goes with --format and --register; `autotune study trials` shows every trial")
    found = best_of_study(read_study(storage, name=name).study)
    if as_json:
        echo_json(found)
    else:
        _echo_best(found.front)


def _echo_best(front: "Sequence[TrialSummary]") -> None:
    from autotune.report.text.wording import format_metric, format_rate

    for trial in front:
        values = ", ".join(f"{metric} {format_metric(value)}" for metric, value in trial.objectives.items())
        rate = format_rate(trial.samples_per_second, is_contended=trial.is_contended)
        click.echo(f"trial {trial.number}: {values}, {rate} samples/s")
        width = max(map(len, trial.parameters), default=0)
        for parameter, value in trial.parameters.items():
            click.echo(f"  {parameter + ':':<{width + 1}} {_as_yaml(value)}")


@click.command()
@study_argument
@storage_option
@json_option
def trials(*, name: str, storage: str, as_json: bool) -> None:
    """List the trials of a study.

    JSON: a list with the keys number, outcome, reason, is_baseline, objectives, values,
    parameters, epochs, samples_per_second, is_contended, peak_memory_bytes, epoch_seconds,
    data_wait_share, evaluation_share, seconds, device, pid, seed, restarts, origin, checkpoint_problem,
    speed_fallback, unread_parameters, mlflow_run_id.
    """
    from autotune.cli.output import echo_json, print_table
    from autotune.report.summaries.reading import read_study
    from autotune.report.text.wording import (
        CONTENDED_NOTE,
        format_duration,
        format_metric,
        format_parameters,
        format_rate,
        format_share,
    )

    report = read_study(storage, name=name)
    if as_json:
        echo_json(report.trials)
        return
    metrics = [objective.metric for objective in report.study.objectives]
    rows = [
        (
            str(trial.number),
            trial.outcome,
            *(format_metric(trial.objectives.get(metric)) for metric in metrics),
            str(trial.epochs),
            format_rate(trial.samples_per_second, is_contended=trial.is_contended),
            format_share(trial.data_wait_share),
            format_share(trial.evaluation_share),
            format_duration(trial.seconds),
            format_parameters(trial.parameters),
        )
        for trial in report.trials
    ]
    print_table(
        ("trial", "outcome", *metrics, "epochs", "samples/s", "data wait", "evaluation", "time", "parameters"),
        rows,
    )
    if any(trial.is_contended for trial in report.trials):
        click.echo(CONTENDED_NOTE, err=True)


def _as_yaml(value: bool | float | str | None) -> str:  # noqa: FBT001 (a parameter's value)
    import json

    return json.dumps(value) if not isinstance(value, str) else value
