"""``autotune study report``."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from autotune.cli.main import INTERRUPTED_STATUS
from autotune.cli.options import (
    MOST_REPEATS,
    NamedPath,
    WholeNumber,
    progress_option,
    spec_option,
    storage_option,
    study_argument,
    tracking_option,
)
from autotune.cli.stopping import exit_if_stopped
from autotune.errors import RunError

if TYPE_CHECKING:
    from autotune.coordinator.interrupts import Interrupts
    from autotune.recording.places import Places
    from autotune.report.page.composing import Report

_ABLATION_REPEATS = 3
_STDOUT = Path("-")


@click.command()
@study_argument
@click.option("--format", "kind", type=click.Choice(["html", "markdown", "json"]), default="html", show_default=True)
@click.option(
    "--output",
    type=NamedPath(dir_okay=False, is_written=True),
    metavar="FILE",
    help="Where to write, - for stdout; for a page NAME-report.html if left out, else stdout.",
)
@click.option("--open", "is_opened", is_flag=True, help="Show the page in the browser.")
@click.option(
    "--ablate",
    "is_ablated",
    is_flag=True,
    help="First train the winner without each of its changes, to measure what they are worth.",
)
@click.option(
    "--repeats",
    type=WholeNumber(min=1, max=MOST_REPEATS),
    metavar="N",
    help=f"Trainings of each for --ablate, {_ABLATION_REPEATS} unless given; those of earlier calls count.",
)
@spec_option
@storage_option
@tracking_option
@progress_option
def report(
    *,
    name: str,
    kind: str,
    output: Path | None,
    is_opened: bool,
    is_ablated: bool,
    repeats: int | None,
    storage: str,
    tracking_uri: str,
    no_progress: bool,
    spec_path: Path | None,
) -> None:
    """Write what a study found as a page that loads nothing.

    The verdict first, then what the winner changed and what each change is worth, how the study
    went, what matters, what it costs, where the time went, races, failures, the machine, and how
    to reproduce it. Markdown is for a pull request. JSON has the same by section.

    JSON keys: name, task, objectives, state, made, sections (key, title, data).
    """
    from autotune.recording.places import Places
    from autotune.report.page.composing import compose
    from autotune.report.summaries.record import read_record

    if is_opened:
        _check_can_open(kind=kind, output=output)
    if repeats is not None and not is_ablated:
        raise click.UsageError("--repeats goes with --ablate: leave it out, or say both")
    places = Places(storage=storage, tracking_uri=tracking_uri)
    target = output or (Path(f"{name}-report.html") if kind == "html" else _STDOUT)

    def show() -> None:
        text = _text(compose(read_record(storage, name=name), places=places), kind=kind)
        if target == _STDOUT:
            click.echo(text, nl=False)
        else:
            _write(text, target)
            click.echo(target)
        if is_opened:
            click.launch(target.absolute().as_uri())

    if not is_ablated:
        show()
        return
    from autotune.coordinator.interrupts import Interrupts

    with Interrupts() as interrupts:
        is_told = _ablate(
            name,
            places=places,
            repeats=repeats or _ABLATION_REPEATS,
            no_progress=no_progress,
            spec_path=spec_path,
            interrupts=interrupts,
        )
        show()
        exit_if_stopped(interrupts, is_told=is_told)


def _check_can_open(*, kind: str, output: Path | None) -> None:
    """Refuse to open what is no page, or in no file."""
    if kind != "html":
        raise click.UsageError("--open shows a page: leave --format out, or say html")
    if output == _STDOUT:
        raise click.UsageError("--open shows a file: leave --output - out")


def _ablate(
    name: str, *, places: "Places", repeats: int, no_progress: bool, spec_path: Path | None, interrupts: "Interrupts"
) -> bool:
    """Train what is missing of the ablation, and end where a signal came before it was whole.

    Returns:
        Whether one came since, and a line told of what was left out for it.
    """
    from autotune.cli.display.choice import choose_display
    from autotune.coordinator.retraining.ablating import AblateOrder, ablate_study
    from autotune.report.dashboards.annotating import annotate_long_study
    from autotune.report.summaries.reading import read_study
    from autotune.spec.secret_parameters import secrets_in

    order = AblateOrder(name=name, places=places, repeats=repeats, secrets=secrets_in(spec_path))
    with choose_display(no_progress=no_progress) as display:
        ablation = ablate_study(order, observer=display)
        if not ablation.result:
            sys.exit(INTERRUPTED_STATUS)
        interrupts.count_one()
        if ablation.is_interrupted:
            return True
        elapsed = read_study(places.storage, name=name).study.elapsed_seconds
        return not annotate_long_study(
            name, places=places, elapsed_seconds=elapsed, interrupts=interrupts, tell=display.note
        )


def _write(text: str, target: Path) -> None:
    """Write the report to the file; raises RunError where that can't be written."""
    try:
        target.write_text(text, encoding="utf-8")
    except OSError as error:
        raise RunError(f"{target}: a report must be written there, got {error.strerror!r}; choose another") from error


def _text(made: "Report", *, kind: str) -> str:
    match kind:
        case "html":
            from autotune.report.page.html import as_html

            return as_html(made)
        case "markdown":
            from autotune.report.page.markdown import as_markdown

            return as_markdown(made)
        case _:
            import dataclasses
            import json

            from autotune.cli.output import to_json

            fields = {field.name: getattr(made, field.name) for field in dataclasses.fields(made)}
            fields["sections"] = [{"key": s.key, "title": s.title, "data": s.data} for s in made.sections]
            return json.dumps(to_json(fields), indent=2, ensure_ascii=False) + "\n"
