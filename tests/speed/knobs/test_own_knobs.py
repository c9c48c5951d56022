import pytest

from autotune.errors import SpecError, TaskError
from autotune.events import Scalar
from autotune.search.resolve import resolve_space
from autotune.search.space import SearchSpace
from autotune.spec.load import parse_spec
from autotune.speed.knobs import KNOBS, with_own
from autotune.speed.knobs.entries import Entry, changed
from autotune.task_knob import TaskKnob
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


QUEUE = TaskKnob(name="queue", choices=("pipe", "shared"), needs_positive="num_workers")
ON_GPU = TaskKnob(name="augment", choices=("cpu", "gpu"), goes_with={"num_workers": (0,), "precision": ("fp32",)})


def space_of(declared: TaskKnob, speed: str) -> SearchSpace:
    text = f"{HEAD}}}\nspeed: {{{speed}}}\n"
    knobs = with_own((declared,), task="a:B")
    return resolve_space(parse_spec(text, origin="s.yaml"), machine=machine(), num_cores=2, knobs=knobs)


def test_a_tasks_knob_that_needs_another_is_active_beside_that_alone() -> None:
    space = space_of(QUEUE, "num_workers: {choices: [0, 2]}, queue: {choices: [pipe, shared]}")
    assert space.with_speed({}, {"num_workers": 2, "queue": "shared"}) == {"num_workers": 2, "queue": "shared"}
    assert space.with_speed({}, {"num_workers": 0, "queue": "shared"}) == {"num_workers": 0}
    (left_out,) = space_of(QUEUE, "queue: {choices: [pipe, shared]}").left_out
    assert left_out.reason == "it needs num_workers above 0, which never comes up here"


def test_a_tasks_knob_is_proposed_beside_nothing_that_it_conflicts_with() -> None:
    space = space_of(ON_GPU, "num_workers: {choices: [0, 2]}, augment: {choices: [cpu, gpu]}")
    wanted: dict[str, Scalar] = {"num_workers": 2, "augment": "gpu"}
    assert "augment" not in space.with_speed({}, wanted)
    assert space.with_speed({}, {**wanted, "num_workers": 0}) == {"num_workers": 0, "augment": "gpu"}


def test_a_race_tries_a_tasks_knob_with_what_it_needs_and_beside_no_conflict() -> None:
    knobs = with_own((QUEUE, ON_GPU), task="a:B")
    entries = [
        Entry(knobs["num_workers"], (0, 2)),
        Entry(knobs["queue"], ("pipe", "shared")),
        Entry(knobs["augment"], ("cpu", "gpu")),
    ]
    assert changed({}, "queue", "shared", entries=entries) is None
    assert changed({"num_workers": 2}, "queue", "shared", entries=entries) == {"num_workers": 2, "queue": "shared"}
    assert changed({"num_workers": 2}, "augment", "gpu", entries=entries) == {"num_workers": 0, "augment": "gpu"}
    assert changed({"precision": "bf16"}, "augment", "gpu", entries=entries) is None


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"needs_positive": "workers"}, r"needs_positive: must be a knob that can be above zero, or on, got workers"),
        ({"needs_positive": "compile"}, r"needs_positive: must be a knob that can be above zero, or on, got compile"),
        ({"goes_with": {"workers": (0,)}}, r"goes_with: must name knobs, got workers; they are num_workers, "),
        ({"goes_with": {"num_workers": (-1,)}}, r"goes_with\.num_workers: must be values that num_workers can have"),
        ({"goes_with": {"precision": ("int8",)}}, r"goes_with\.precision: must be values that precision can have"),
        ({"goes_with": {"precision": ()}}, r"goes_with\.precision: must be values that precision can have"),
        ({"goes_with": {"mine": ("a",)}}, r"must not form a circle, got mine → mine"),
    ],
)
def test_a_tasks_knob_that_depends_on_what_never_comes_is_refused(fields: dict[str, object], message: str) -> None:
    declared = TaskKnob.model_validate({"name": "mine", "choices": ("a", "b"), "simplest": "a", **fields})
    with pytest.raises(TaskError, match=message):
        with_own((declared,), task="a:B")
