"""``autotune space list``, ``show``, ``check`` and ``schema``."""

import json

import click

from autotune.cli.names import complete_space
from autotune.cli.options import jobs_option, json_option

_spec_argument = click.argument("spec", metavar="SPEC", shell_complete=complete_space)


@click.command("list")
@json_option
def list_names(*, as_json: bool) -> None:
    """List the specs that come with the package.

    JSON: a list with the keys name, task, path.
    """
    from autotune.cli.output import echo_json, print_table
    from autotune.report.machine.spaces import list_space_summaries

    summaries = list_space_summaries()
    if as_json:
        echo_json(summaries)
        return
    print_table(("name", "task", "path"), [(s.name, s.task, s.path) for s in summaries])


@click.command()
@_spec_argument
@json_option
def show(*, spec: str, as_json: bool) -> None:
    """Print a spec's YAML, to copy and change.

    JSON keys: name, origin, text.
    """
    from autotune.cli.output import echo_json
    from autotune.spec.load import load_spec

    file = load_spec(spec)
    if as_json:
        echo_json({"name": file.name, "origin": file.origin, "text": file.text})
        return
    click.echo(file.text, nl=not file.text.endswith("\n"))


@click.command()
@_spec_argument
@click.option("--set", "overrides", multiple=True, metavar="KEY=VALUE", help="Replace a value of the spec.")
@jobs_option
@json_option
def check(*, spec: str, overrides: tuple[str, ...], jobs: int, as_json: bool) -> None:
    """Check a spec, and print what is searched on this machine.

    Does all that `autotune study start` checks before it stores anything: the task is imported
    and one batch goes through it. Bounds that are `auto` are shown as numbers, and every knob
    that does not apply here with the reason why it is left out.

    JSON keys: name, task, objectives, budget, sampler, pruner, speed_search, devices, parameters,
    fixed, left_out, baseline, rehearsal.
    """
    from autotune.cli.output import echo_json
    from autotune.cli.space.words import print_space
    from autotune.report.machine.spaces import check_space
    from autotune.report.text.wording import one_line
    from autotune.spec.load import load_spec

    file = load_spec(spec, overrides=overrides)
    summary = check_space(file, jobs=jobs, tell=lambda line: click.echo(one_line(line), err=True))
    if as_json:
        echo_json(summary)
    else:
        print_space(summary)


@click.command()
@click.option("--json", "as_json", is_flag=True, help="The schema is JSON with or without this.")
def schema(*, as_json: bool) -> None:
    """Print the JSON schema of a spec, for editors."""
    del as_json
    from autotune.spec.schema import spec_schema
    from autotune.speed.knobs import KNOBS

    click.echo(json.dumps(spec_schema(knobs=tuple(KNOBS)), indent=2))
