"""``autotune study import``."""

import json
import math
from typing import TYPE_CHECKING

import click

from autotune.cli.options import json_option, storage_option, study_argument
from autotune.cli.stopping import telling_of_the_rest

if TYPE_CHECKING:
    from autotune.events import Scalar


@click.command("import")
@study_argument
@click.option(
    "--from", "source", metavar="URL", required=True, help="An Optuna storage: a database's URL, or a journal's file."
)
@click.option("--study", "source_study", metavar="OTHER", help="The study there, if it holds several.")
@click.option("--rename", "renames", multiple=True, metavar="OTHER=OURS", help="A parameter with another name there.")
@click.option(
    "--assume",
    "assumptions",
    multiple=True,
    metavar="NAME=VALUE",
    help="A parameter that its trials lack.",
)
@storage_option
@json_option
def import_trials(
    *,
    name: str,
    source: str,
    source_study: str | None,
    renames: tuple[str, ...],
    assumptions: tuple[str, ...],
    storage: str,
    as_json: bool,
) -> None:
    """Take trials of another program's Optuna study into a study.

    Those that fit the study's space are taken for its sampler to learn from, with their origin. They
    are no trials of its budget, and none of them is its best: others measured them. The study
    must have been started once, so that its space and its baseline are there, and not run now.

    JSON keys: study, source, num_taken, num_ended, trials (the number there by the one here),
    lacking and unknown (parameters that trials which were not taken lack, or have beside the study's).
    """
    from autotune.cli.output import echo_json
    from autotune.coordinator.upkeep.importing import ImportOrder, import_study

    order = ImportOrder(
        storage=storage,
        name=name,
        source=source,
        source_study=source_study,
        renamed=dict(_pair(text, option="--rename") for text in renames),
        assumed={key: _value(text) for key, text in (_pair(text, option="--assume") for text in assumptions)},
    )
    with telling_of_the_rest(f"Stopped: study {name} may have some of the trials; the same command takes the rest."):
        done = import_study(order)
    if as_json:
        echo_json(done)
        return
    left = done.num_ended - done.num_taken
    rest = f"; {left} do not fit its space, or teach nothing" if left else ""
    click.echo(f"study {done.study} has {done.num_taken} of {done.num_ended} ended trials of {done.source}{rest}")
    if done.lacking:
        click.echo(
            f"they lack {', '.join(done.lacking)}; say what they had: --assume {done.lacking[0]}=VALUE", err=True
        )
    if done.unknown:
        meant = f"say what they are here: --rename {done.unknown[0]}=OURS"
        click.echo(f"they have {', '.join(done.unknown)}, which study {done.study} has not; {meant}", err=True)


def _pair(text: str, *, option: str) -> tuple[str, str]:
    left, equals, right = text.partition("=")
    if not left or not equals or not right:
        raise click.UsageError(f"{option}: must be NAME=SOMETHING, got {text!r}")
    return left, right


def _value(text: str) -> "Scalar":
    """A number, a truth or null as JSON has them; any other text as it is."""
    try:
        value = json.loads(text)
    except json.JSONDecodeError:
        return text
    if isinstance(value, float) and not math.isfinite(value):  # Python's JSON takes NaN, Infinity and 1e999
        raise click.UsageError(f"--assume: must be a finite number, got {text}; no parameter has such a value")
    return value if value is None or isinstance(value, bool | int | float | str) else text
