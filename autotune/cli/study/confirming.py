"""``autotune study confirm``."""

from pathlib import Path

import click

from autotune.cli.options import (
    MOST_REPEATS,
    AnyNumber,
    WholeNumber,
    grace_option,
    json_option,
    progress_option,
    spec_option,
    storage_option,
    study_argument,
    tracking_option,
)
from autotune.cli.stopping import exit_if_stopped


def _read_against(ctx: click.Context, parameter: click.Parameter, value: str) -> int:
    from autotune.goals import BASELINE_NUMBER

    if value == "baseline":
        return BASELINE_NUMBER
    if not value.isdecimal():
        raise click.BadParameter(f"must be baseline or a trial's number, got {value}", ctx=ctx, param=parameter)
    return int(value)


@click.command()
@study_argument
@click.option("--top", type=WholeNumber(min=1), default=1, show_default=True, metavar="N", help="The N best trials.")
@click.option(
    "--repeats",
    type=WholeNumber(min=1, max=MOST_REPEATS),
    default=5,
    show_default=True,
    metavar="N",
    help="Trainings of each in all; those of earlier calls count.",
)
@click.option(
    "--against",
    default="baseline",
    show_default=True,
    metavar="TRIAL",
    callback=_read_against,
    help="What they are compared with: baseline, or a trial's number.",
)
@click.option(
    "--target",
    type=AnyNumber(),
    metavar="VALUE",
    help="Trainings are timed until the metric is seen here; what all of them came to unless given.",
)
@spec_option
@grace_option
@storage_option
@tracking_option
@json_option
@progress_option
def confirm(
    *,
    name: str,
    top: int,
    repeats: int,
    against: int,
    target: float | None,
    spec_path: Path | None,
    grace_seconds: float,
    storage: str,
    tracking_uri: str,
    as_json: bool,
    no_progress: bool,
) -> None:
    """Train the winner and the baseline again on fresh seeds, and say what is left of the gain.

    They take turns, one at a time, on seeds that the search never used. The trainings are a study
    of their own, NAME.confirm. Ctrl-C stops with checkpoints, and the same command goes on.

    JSON keys: study, metric, winner, is_best, reference, is_against_baseline, target, num_winner,
    num_reference, num_wanted, winner_success_rate, reference_success_rate, num_winner_failed,
    num_reference_failed, quantities (name, kind, winner, reference, value, low, high, is_more_better,
    finding, step), conclusion, decided_by, advice, search_value, optimism, spent_seconds,
    saved_seconds, break_even_trainings, confidence, others.
    """
    from autotune.cli.display.choice import choose_display
    from autotune.cli.output import echo_json, echo_lines
    from autotune.coordinator.interrupts import Interrupts
    from autotune.coordinator.retraining.confirm_study import ConfirmOrder, confirm_study
    from autotune.recording.places import Places
    from autotune.report.dashboards.annotating import annotate_long_study
    from autotune.report.summaries.reading import read_study
    from autotune.report.text.verdicts import verdict_lines
    from autotune.spec.secret_parameters import secrets_in

    places = Places(storage=storage, tracking_uri=tracking_uri)
    order = ConfirmOrder(
        name=name,
        places=places,
        repeats=repeats,
        top=top,
        against=against,
        target=target,
        grace_seconds=grace_seconds,
        secrets=secrets_in(spec_path),
    )
    with Interrupts() as interrupts:
        with choose_display(no_progress=no_progress) as display:
            is_told = confirm_study(order, observer=display).is_interrupted
            interrupts.count_one()
            report = read_study(storage, name=name)
            if not is_told:  # it takes seconds
                is_told = not annotate_long_study(
                    name,
                    places=places,
                    elapsed_seconds=report.study.elapsed_seconds,
                    interrupts=interrupts,
                    tell=display.note,
                )
        verdict = report.verdict
        if as_json:
            echo_json(verdict)
        elif verdict is not None:
            echo_lines(verdict_lines(verdict))
        exit_if_stopped(interrupts, is_told=is_told)
