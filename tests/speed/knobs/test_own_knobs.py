import pytest

from autotune.errors import SpecError, TaskError
from autotune.events import Scalar, TaskKnob
from autotune.search.resolve import resolve_space
from autotune.search.space import SearchSpace
from autotune.spec.load import parse_spec
from autotune.speed.knobs import KNOBS, with_own
from tests.machines import machine

DECODER = TaskKnob(name="decoder", choices=("pillow", "turbo"), simplest="pillow", numerics="exact", moves=("input",))
HEAD = "task: a:B\nobjective: {metric: a, direction: minimize}\nbudget: {trials: 3}\nlearning: {w: {low: 1, high: 9}"


def resolve(speed: str, *, learning: str = "", baseline: str = "") -> SearchSpace:
    text = f"{HEAD}{learning}}}\nspeed: {{{speed}}}\nbaseline: {{{baseline}}}\n"
    knobs = with_own((DECODER,), task="a:B")
    return resolve_space(parse_spec(text, origin="s.yaml"), machine=machine(), num_cores=2, knobs=knobs)


def test_a_tasks_knob_stands_behind_the_built_in_ones() -> None:
    knobs = with_own((DECODER,), task="a:B")
    assert list(knobs) == [*KNOBS, "decoder"]
    assert knobs["decoder"].candidates(machine(), num_cores=2) == ("pillow", "turbo")
    assert (knobs["decoder"].numerics, knobs["decoder"].needs, knobs["decoder"].moves) == (
        "exact",
        "relaunch",
        ("input",),
    )


def test_a_tasks_knob_is_searched_like_a_built_in_one() -> None:
    space = resolve("decoder: {choices: [pillow, turbo]}", baseline="decoder: turbo")
    assert space.parameters[-1].choices == ("pillow", "turbo")
    assert space.baseline == {"decoder": "turbo"}


@pytest.mark.parametrize(
    ("speed", "message"),
    [
        ("decodr: turbo", r"speed\.decodr: must be a knob, got decodr; did you mean decoder\?"),
        ("decoder: fast", r"speed\.decoder: must be one of pillow, turbo, got fast"),
    ],
)
def test_a_wrong_use_of_a_tasks_knob_is_told_in_one_line(speed: str, message: str) -> None:
    with pytest.raises(SpecError, match=message):
        resolve(speed)


def test_a_tasks_knob_among_the_learning_parameters_is_refused() -> None:
    with pytest.raises(SpecError, match=r"learning\.decoder: a knob stands under speed, got decoder; move it to speed"):
        resolve("", learning=", decoder: turbo")


@pytest.mark.parametrize(("name", "kind"), [("num_workers", "knob"), ("lr", "learning parameter")])
def test_a_tasks_knob_with_a_name_that_is_taken_is_refused(name: str, kind: str) -> None:
    choices: tuple[Scalar, ...] = (1, 2)
    with pytest.raises(TaskError, match=rf"task a:B: knobs\.{name}: .* got that of a built-in {kind}; rename it"):
        with_own((TaskKnob(name=name, choices=choices),), task="a:B")
