"""``autotune study start`` and ``autotune study resume``."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import click

from autotune.cli.names import complete_space, complete_study
from autotune.cli.options import (
    grace_option,
    jobs_option,
    progress_option,
    seconds_option,
    storage_option,
    study_argument,
    tracking_option,
    trials_option,
)
from autotune.cli.stopping import exit_if_stopped

if TYPE_CHECKING:
    from autotune.coordinator.opening.order import StartOrder
    from autotune.spec.overrides import Override

_KEYS = {"trials": ("budget", "trials"), "seconds": ("budget", "seconds")}
"""Keys of the spec that options set, where they differ from the option's name."""


@click.command()
@click.argument("spec", metavar="[SPEC]", default="mnist", shell_complete=complete_space)
@click.option("--name", metavar="STUDY", help="Name of the study; unless given, that of the spec's file.")
@trials_option
@seconds_option
@jobs_option
@grace_option
@click.option("--seed", type=int, metavar="N", help="Seed of the study, from which every trial derives its own.")
@click.option("--sampler", metavar="NAME", help="tpe, gp, cmaes, qmc, random, grid or nsgaii.")
@click.option(
    "--pruner",
    metavar="NAME",
    help="hyperband, successive_halving, median, percentile, patient, threshold or none.",
)
@click.option(
    "--set",
    "overrides",
    multiple=True,
    metavar="KEY=VALUE",
    help="Replace a value of the spec, such as learning.lr.high=0.1; may be repeated.",
)
@click.option(
    "--warm-start",
    metavar="STUDY",
    shell_complete=complete_study,
    help="Start a new study from the finished trials of another one, where they fit.",
)
@storage_option
@tracking_option
@progress_option
def start(
    *,
    spec: str,
    name: str | None,
    trials: int | None,
    seconds: float | None,
    jobs: int,
    grace_seconds: float,
    seed: int | None,
    sampler: str | None,
    pruner: str | None,
    overrides: tuple[str, ...],
    warm_start: str | None,
    storage: str,
    tracking_uri: str,
    no_progress: bool,
) -> None:
    """Run a study, or go on with it.

    SPEC is a study spec: a YAML file, or the name of one that comes with the package
    (see `autotune space list`); mnist unless given.

    A study of the same name goes on where it was. Ctrl-C stops it with checkpoints, and the
    same command goes on again; Ctrl-C twice stops it at once.
    """
    from autotune.spec.load import load_spec

    options = _as_overrides(trials=trials, seconds=seconds, seed=seed, sampler=sampler, pruner=pruner)
    file = load_spec(spec, overrides=[*overrides, *options])
    # Imported after the spec was checked, since it imports Optuna and SQLAlchemy, which takes time.
    from autotune.coordinator.opening.order import StartOrder
    from autotune.recording.places import Places

    order = StartOrder(
        file=file,
        name=file.name if name is None else name,
        places=Places(storage=storage, tracking_uri=tracking_uri),
        jobs=jobs,
        warm_start=warm_start,
        grace_seconds=grace_seconds,
    )
    _run(order, no_progress=no_progress)


@click.command()
@study_argument
@trials_option
@seconds_option
@jobs_option
@grace_option
@storage_option
@tracking_option
@progress_option
def resume(
    *,
    name: str,
    trials: int | None,
    seconds: float | None,
    jobs: int,
    grace_seconds: float,
    storage: str,
    tracking_uri: str,
    no_progress: bool,
) -> None:
    """Go on with a study by its name alone.

    Its spec comes from the storage; a larger budget lets a study go on that is complete.
    """
    from autotune.coordinator.opening.order import StartOrder
    from autotune.coordinator.opening.relocating import relocate
    from autotune.recording.places import Places
    from autotune.report.summaries.reading import open_records
    from autotune.spec.load import parse_spec

    row = relocate(open_records(storage).study(name), storage=storage)
    overrides = _as_overrides(trials=trials, seconds=seconds)
    file = parse_spec(row.spec_text, origin=f"study {name}", overrides=overrides)
    places = Places(storage=storage, tracking_uri=tracking_uri)
    order = StartOrder(file=file, name=name, places=places, jobs=jobs, grace_seconds=grace_seconds)
    _run(order, no_progress=no_progress)


def _as_overrides(**options: float | str | None) -> "Sequence[Override]":
    """Overrides of the spec from its options; messages about them name the option that was typed."""
    from autotune.spec.overrides import Override

    return [
        Override(key=_KEYS.get(option, (option,)), value=value, typed=f"--{option} {value}")
        for option, value in options.items()
        if value is not None
    ]


def _run(order: "StartOrder", *, no_progress: bool) -> None:
    from autotune.cli.display.choice import choose_display
    from autotune.cli.output import echo_lines
    from autotune.coordinator.interrupts import Interrupts
    from autotune.coordinator.start import start_study
    from autotune.report.dashboards.annotating import annotate_long_study
    from autotune.report.summaries.reading import read_study
    from autotune.report.text.ending import ending_lines

    places = order.places
    with Interrupts() as interrupts:
        with choose_display(no_progress=no_progress) as display:
            result = start_study(order, observer=display)
            interrupts.count_one()
            report = read_study(places.storage, name=result.name)
            is_told = result.is_interrupted
            if result.is_last and not is_told:  # it takes seconds
                is_told = not annotate_long_study(
                    result.name,
                    places=places,
                    elapsed_seconds=report.study.elapsed_seconds,
                    interrupts=interrupts,
                    tell=display.note,
                )
        verdict = None if result.is_complete and not result.is_last else report.verdict  # another one may be confirming
        echo_lines(ending_lines(report.study, places=places, verdict=verdict))
        exit_if_stopped(interrupts, is_told=is_told)
