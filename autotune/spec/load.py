"""From a YAML file, or the name of a search space that comes along, to a validated study spec."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from autotune.errors import SpecError
from autotune.events import Scalar
from autotune.secrecy import REDACTED, is_secret_name
from autotune.spec.builtin import find_space, list_spaces
from autotune.spec.document import read_document
from autotune.spec.model import Budget, Choice, Objective, Parameter, StudySpec
from autotune.spec.names import nearest
from autotune.spec.node import Node
from autotune.spec.overrides import Override, apply_overrides
from autotune.spec.places import Places
from autotune.spec.read import read_spec, read_task

_SUFFIXES = (".yaml", ".yml")


@dataclass(frozen=True)
class SpecFile:
    """A study spec and the text that it was read from."""

    spec: StudySpec
    text: str
    """YAML with every override applied and the task's path made absolute: ``parse_spec(text)``
    gives the same spec, wherever it is called."""
    origin: str
    """What error messages call the file."""
    name: str
    """The file's stem: how a study is called unless the user says otherwise."""
    places: Places
    secrets: Mapping[str, Scalar] = field(default_factory=dict, repr=False)
    """Parameters whose names say that they are secrets. Spec and text have ``REDACTED`` in their place, and so has
    everything that is made of them; trials alone are told."""

    def where(self, key: str) -> str:
        """Where a dotted key stands: ``search_spaces/mnist.yaml:14: learning.lr``."""
        return self.places.where(key)

    def error(self, key: str, *, rule: str, got: str, remedy: str) -> SpecError:
        """The error at a dotted key: ``FILE:LINE: KEY: RULE, got VALUE; REMEDY``."""
        return self.places.error(key, rule=rule, got=got, remedy=remedy)


def load_spec(
    space: str, *, overrides: Sequence[str | Override] = (), called: str = "SPEC", needs_search: bool = True
) -> SpecFile:
    """Read a spec from a file, or from a search space that comes with the package.

    A name without ``.yaml`` and without a folder is one that comes along; a file of that very
    name in the working directory is read only where there is none.

    Args:
        space: A path, or a name of ``list_spaces()``.
        overrides: Text is ``KEY=VALUE``, as typed after ``--set``.
        called: What the place is called where ``space`` was typed; a ``TASK`` may name a task, too.
        needs_search: Refuse a spec that leaves nothing to search; a race takes one that fixes all that is learned.

    Raises:
        SpecError: It can't be read, or breaks a rule.
    """
    path = _find(space, called=called)
    origin = _shown(path)
    try:
        text = path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise SpecError(
            f"{origin}:1: the file must be UTF-8 text, got byte {error.start} that is not; save it as UTF-8"
        ) from None
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise SpecError(
            f"{origin}: the file must be readable, got {reason!r}; check the path and its permissions"
        ) from None
    return parse_spec(text, origin=origin, folder=path.parent, overrides=overrides, needs_search=needs_search)


def parse_spec(
    text: str,
    *,
    origin: str,
    folder: Path | None = None,
    overrides: Sequence[str | Override] = (),
    needs_search: bool = True,
) -> SpecFile:
    """Read a spec from its text.

    Args:
        text: YAML 1.2.
        origin: What error messages call the text; its stem becomes the name.
        folder: Where a task's relative path starts; the working directory if None.
        overrides: As in ``load_spec``. A task's relative path in an override starts from the
            working directory, like anything that is typed in a shell.
        needs_search: As in ``load_spec``.

    Raises:
        SpecError: It breaks a rule.
    """
    document = read_document(text, origin=origin, overrides=overrides)
    start = Path.cwd() if folder is None or "task" in document.places.overrides else folder
    spec = read_spec(
        Node(value=document.content, key="", places=document.places), folder=start, needs_search=needs_search
    )
    text = document.text
    if spec.task != document.content["task"]:
        text = apply_overrides(text, [Override(key=("task",), value=spec.task, typed="")])
    text, spec, secrets = _redact(text, spec)
    return SpecFile(
        spec=spec, text=text, origin=origin, name=Path(origin).stem, places=document.places, secrets=secrets
    )


def _redact(text: str, spec: StudySpec) -> tuple[str, StudySpec, dict[str, Scalar]]:
    """The text and the spec without the values of secrets, and the secrets' values by name."""
    secrets: dict[str, Scalar] = {}
    overrides: list[Override] = []
    groups: dict[str, Mapping[str, Parameter | Scalar]] = {
        "learning": spec.learning,
        "speed": spec.speed,
        "baseline": spec.baseline,
    }
    clean: dict[str, dict[str, object]] = {}
    for group, parameters in groups.items():
        found = {name: value for name, value in parameters.items() if _is_secret(name, value)}
        clean[group] = {**parameters, **dict.fromkeys(found, REDACTED)}
        overrides += [Override(key=(group, name), value=REDACTED, typed="") for name in found]
        secrets = {**{name: value for name, value in found.items() if not isinstance(value, Parameter)}, **secrets}
    if not overrides:
        return text, spec, {}
    known = {name: value for name, value in secrets.items() if value != REDACTED}
    return apply_overrides(text, overrides), spec.model_copy(update=clean), known


def _is_secret(name: str, value: Parameter | Scalar) -> bool:
    """Whether the parameter is a secret; switches, fractions and searched parameters never are, whatever their name."""
    return is_secret_name(name) and isinstance(value, str | int) and not isinstance(value, bool)


def task_spec(task: str, *, epochs: int) -> SpecFile:
    """The spec of a task whose speed alone is asked for: nothing is learned about it, every knob is raced.

    Args:
        task: ``package.module:Name`` or ``path/to/file.py:Name``, from the working directory.
        epochs: Epochs of a training run.

    Raises:
        SpecError: ``task`` is not of this form.
    """
    places = Places(origin=task, lines={}, overrides={"task": f"TASK {task}"})
    spec = StudySpec(
        task=read_task(Node(value=task, key="task", places=places), folder=Path.cwd()),
        objectives=(Objective(metric="train_loss", direction="minimize"),),
        budget=Budget(trials=1, epochs=epochs),
        sampler=Choice(name="tpe"),
        pruner=Choice(name="none"),
        learning={},
        speed={},
        baseline={},
        speed_search=Choice(name="race"),
    )
    return SpecFile(spec=spec, text="", origin=task, name=task.rpartition(":")[2].lower(), places=places)


def _find(space: str, *, called: str) -> Path:
    path = Path(space).expanduser()
    if path.suffix == ".py":
        if called == "TASK":
            raise SpecError(f"{called}: must name a class or function of the file, got {space!r}; write {space}:NAME")
        remedy = f"`autotune init DIR --from {space}` drafts one for a script"
        raise SpecError(f"{called}: must be a YAML file, got {space!r}; {remedy}")
    if path.suffix.lower() in _SUFFIXES or len(path.parts) > 1:
        return path
    if found := find_space(space):
        return found
    if path.is_file():
        return path
    names = list_spaces()
    hint = nearest(space, names)
    remedy = f"did you mean {hint}?" if hint else f"those that come along are {', '.join(names)}"
    tasks = ", or a task as package.module:Class or file.py:Class" if called == "TASK" else ""
    rule = f"must be a YAML file, or a search space that comes along{tasks}"
    raise SpecError(f"{called}: {rule}, got {space!r}; {remedy}")


def _shown(path: Path) -> str:
    absolute = path.absolute()
    return str(absolute.relative_to(Path.cwd())) if absolute.is_relative_to(Path.cwd()) else str(path)
