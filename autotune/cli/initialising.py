"""``autotune init``."""

import re
from pathlib import Path
from typing import TYPE_CHECKING

import click

from autotune.cli.options import NamedPath
from autotune.errors import InputError

if TYPE_CHECKING:
    from autotune.spec.first.script import Script

TASK_FILE = "task.py"
_PLAIN_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,99}")


@click.command()
@click.argument("folder", metavar="DIR", type=NamedPath())
@click.option(
    "--from",
    "script",
    metavar="SCRIPT",
    type=NamedPath(),
    help="Read the task and the baseline from a plain PyTorch script. It is read, and never run.",
)
def init(*, folder: Path, script: Path | None) -> None:
    """Write a task file and a study spec that run as they are, with every line explained.

    DIR gets task.py and DIR.yaml; the study will have the name of DIR.

    With --from, the baseline has the script's optimizer, DataLoader and flags, and the task its
    data, model and loss, as far as the text tells; what it does not tell is said.
    """
    # A study has the name of its spec's file, unless --name says otherwise.
    name = folder.absolute().name
    task, spec = folder / TASK_FILE, folder / f"{name if _PLAIN_NAME.fullmatch(name) else 'study'}.yaml"
    for path in (task, spec):
        if path.exists():
            raise InputError(f"{path}: init writes no file over another, got one that exists; name another DIR")
    texts, said = _example(task, spec) if script is None else _from_script(script, task=task, spec=spec)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for path, text in zip((task, spec), texts, strict=True):
            path.write_text(text)
    except OSError as error:
        raise InputError(f"{folder}: init must be able to write there, got {error.strerror!r}") from error
    for line in said:
        click.echo(line)
    click.echo(f"{task}  the task: data and model")
    click.echo(f"{spec}  the spec: what is searched, and your baseline")
    click.echo(
        f"\nNext:\n  autotune space check {spec}  # what it means on this machine\n  autotune study start {spec}"
    )


def _example(task: Path, spec: Path) -> tuple[tuple[str, str], list[str]]:
    from autotune.spec.first.example import SPEC, TASK

    return (TASK, SPEC.format(task=task.name, spec=spec)), []


def _from_script(path: Path, *, task: Path, spec: Path) -> tuple[tuple[str, str], list[str]]:
    from autotune.spec.first.draft_spec import draft_spec
    from autotune.spec.first.draft_task import draft_task
    from autotune.spec.first.script import read_script

    script = read_script(path)
    draft = draft_task(script, path=path)
    text = draft_spec(script, is_classification=draft.is_classification, path=path, task=task.name, spec=str(spec))
    return (draft.text, text), [
        *_reading_lines(script, path=path),
        *_missing_lines(draft.missing, draft.unbound, task=task),
        "",
    ]


def _reading_lines(script: "Script", *, path: Path) -> list[str]:
    from autotune.report.text.wording import format_scalar

    lines = [f"{path}:{r.line}: {r.name} {format_scalar(r.value)}" for r in script.readings]
    unread = [f"{path}:{u.line}: {u.name} is computed ({u.expression}); write it into the spec" for u in script.unread]
    notes = [f"{path}{'' if n.line is None else f':{n.line}'}: {n.text}" for n in script.notes]
    return [*lines, *unread, *notes]


def _missing_lines(missing: tuple[str, ...], unbound: tuple[str, ...], *, task: Path) -> list[str]:
    lines = [f"{task}: {', '.join(missing)} could not be read from the script; write them"] if missing else []
    if unbound:
        lines.append(f"{task}: what {', '.join(unbound)} should be could not be read from the script; write it there")
    return lines
