"""``autotune study compare``."""

from typing import TYPE_CHECKING

import click

from autotune.cli.names import complete_study
from autotune.cli.options import json_option, storage_option

if TYPE_CHECKING:
    from autotune.report.comparing.trials import Comparison, Contender

_NOISE_WORDS = {
    "seeds": "±: standard deviation over trials with the same parameters and other seeds",
    "epochs": "±~: scatter of the last epochs around their line, usually less than between seeds",
}


@click.command()
@click.argument("names", nargs=-1, required=True, metavar="NAME NAME...", shell_complete=complete_study)
@storage_option
@json_option
def compare(*, names: tuple[str, ...], storage: str, as_json: bool) -> None:
    """Show studies, or trials of them, side by side.

    NAME is a study, for its best trial, or STUDY:NUMBER for any trial: `autotune study compare
    mnist:0 mnist:17`. The metrics' noise stands behind ±: the standard deviation over trials
    with the same parameters and other seeds where there are some; else, marked ~, the scatter of
    the last epochs around their line, which is usually less.

    JSON keys: contenders (name, study, trial, metrics, noise, num_trials, study_seconds),
    differing, shared, metrics.
    """
    from autotune.cli.output import echo_json, echo_lines, print_columns
    from autotune.report.comparing.trials import compare as compare_trials

    comparison = compare_trials(storage, names=names)
    if as_json:
        echo_json(comparison)
        return
    header = ("", *(one.name for one in comparison.contenders))
    print_columns(header, [(title, *cells) for title, cells in _rows(comparison)])
    sources = {noise.source for one in comparison.contenders for noise in one.noise.values() if noise is not None}
    echo_lines(["", *(words for source, words in _NOISE_WORDS.items() if source in sources)] if sources else [])
    if comparison.shared:
        from autotune.report.text.wording import format_parameters

        echo_lines(["", f"the same in all: {format_parameters(comparison.shared)}"])


def _rows(comparison: "Comparison") -> list[tuple[str, tuple[str, ...]]]:
    """Titled rows with one cell for each contender: what it is, what differs, what came out, what it took."""
    from autotune.disk import format_bytes
    from autotune.report.text.wording import format_clock, format_duration, format_scalar

    contenders = comparison.contenders
    rows = [
        ("trial", tuple(str(one.trial.number) for one in contenders)),
        ("outcome", tuple(one.trial.outcome for one in contenders)),
        ("epochs", tuple(str(one.trial.epochs) for one in contenders)),
    ]
    for name in comparison.differing:
        held = [one.trial.parameters for one in contenders]
        rows.append((name, tuple(format_scalar(each[name]) if name in each else "-" for each in held)))
    rows += [(metric, tuple(_metric(one, metric) for one in contenders)) for metric in comparison.metrics]
    rows += [
        ("samples/s", tuple(_rate(one) for one in contenders)),
        ("time an epoch", tuple(format_duration(one.trial.epoch_seconds) for one in contenders)),
        ("time of the trial", tuple(format_duration(one.trial.seconds) for one in contenders)),
        ("peak memory", tuple(format_bytes(one.trial.peak_memory_bytes or 0) for one in contenders)),
    ]
    if len({one.study for one in contenders}) > 1:
        rows.append(("trials of the study", tuple(str(one.num_trials) for one in contenders)))
        rows.append(("time of the study", tuple(format_clock(one.study_seconds) for one in contenders)))
    return rows


def _metric(one: "Contender", metric: str) -> str:
    from autotune.figures import format_figure
    from autotune.report.text.wording import format_metric

    noise = one.noise.get(metric)
    value = format_metric(one.metrics.get(metric))
    if noise is None:
        return value
    return f"{value} ±{'~' if noise.source == 'epochs' else ''}{format_figure(noise.deviation, digits=2)}"


def _rate(one: "Contender") -> str:
    from autotune.figures import format_figure
    from autotune.report.text.wording import format_rate

    noise = one.noise.get("samples_per_second")
    value = format_rate(one.trial.samples_per_second, is_contended=one.trial.is_contended)
    return value if noise is None else f"{value} ±~{format_figure(noise.deviation, digits=2)}"
