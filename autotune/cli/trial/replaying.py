"""``autotune trial replay``."""

import sys
from pathlib import Path

import click

from autotune.cli.names import complete_study
from autotune.cli.options import WholeNumber, json_option, progress_option, spec_option, storage_option


@click.command()
@click.argument("study", shell_complete=complete_study)
@click.argument("number", type=WholeNumber(min=0))
@spec_option
@storage_option
@json_option
@progress_option
def replay(*, study: str, number: int, spec_path: Path | None, storage: str, as_json: bool, no_progress: bool) -> None:
    """Train a trial again and compare its losses.

    The same parameters and seeds: on a CPU of the same kind, the same losses to the last bit.
    Nothing is recorded. Exit status 1 when a metric differs.

    JSON keys: study, number, is_same, epochs (each: epoch, recorded, replayed, which hold metrics by name).
    """
    from autotune.cli.display.choice import choose_display
    from autotune.cli.output import echo_json, print_table
    from autotune.coordinator.retraining.replay import replay_trial
    from autotune.report.comparing.replays import summarise_replay
    from autotune.report.text.wording import format_metric
    from autotune.spec.secret_parameters import secrets_in

    with choose_display(no_progress=no_progress) as display:
        result = replay_trial(storage, name=study, number=number, observer=display, secrets=secrets_in(spec_path))
    summary = summarise_replay(
        study, number=number, is_same=result.is_same, recorded=result.recorded, replayed=result.reports
    )
    if as_json:
        echo_json(summary)
    else:
        print_table(
            ("epoch", "metric", "recorded", "replayed"),
            [
                (str(epoch.epoch), name, repr(value), format_metric(None) if again is None else repr(again))
                for epoch in summary.epochs
                for name, value in epoch.recorded.items()
                for again in [epoch.replayed.get(name)]
            ],
        )
        click.echo("The same to the last bit." if summary.is_same else "Not the same.")
    if not summary.is_same:
        sys.exit(1)
