from pathlib import Path

import pytest

from autotune.errors import SpecError
from autotune.spec.load import load_spec, parse_spec
from autotune.spec.model import Choice, Objective, Parameter, StudySpec

HEAD = """\
task: autotune.tasks.mnist:Mnist
objective: {metric: val_accuracy, direction: maximize}
budget: {trials: 30}
"""


def parse_parameter(text: str, *, name: str = "x") -> object:
    return parse_spec(f"{HEAD}learning:\n  y: {{low: 0, high: 9}}\n  {name}: {text}", origin="s.yaml").spec.learning[
        name
    ]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("{low: 1e-5, high: 1, log: true}", Parameter(type="float", low=1e-5, high=1.0, log=True)),
        ("{low: 1, high: 9}", Parameter(type="int", low=1, high=9)),
        ("{low: 1, high: 9, type: float}", Parameter(type="float", low=1.0, high=9.0)),
        ("{low: 1, high: 9, step: 2}", Parameter(type="int", low=1, high=9, step=2)),
        ("{low: 1, high: 9, step: 0.5}", Parameter(type="float", low=1.0, high=9.0, step=0.5)),
        ("{low: 0.1, high: 0.4, step: 0.1}", Parameter(type="float", low=0.1, high=0.4, step=0.1)),
        ("{low: 1, high: 64, log: true}", Parameter(type="int", low=1, high=64, log=True)),
        ("{choices: [a, 2, 2.5, true, null]}", Parameter(type="choices", choices=("a", 2, 2.5, True, None))),
        ("{choices: [off, on]}", Parameter(type="choices", choices=("off", "on"))),
        ("{choices: [1], when: {y: 3}}", Parameter(type="choices", choices=(1,), when={"y": (3,)})),
        ("{choices: [1], when: {y: [3, 4]}}", Parameter(type="choices", choices=(1,), when={"y": (3, 4)})),
        ("{choices: [1], when: {}}", Parameter(type="choices", choices=(1,), when={})),
        ("1e-3", 1e-3),
        ("5", 5),
        ("relu", "relu"),
        ("true", True),
        ("null", None),
    ],
)
def test_a_parameter_is_a_range_or_choices_or_a_fixed_value(text: str, expected: object) -> None:
    found = parse_parameter(text)
    assert (found, type(found)) == (expected, type(expected))


def test_a_learning_rate_range_is_of_floats_even_with_whole_bounds() -> None:
    assert parse_parameter("{low: 0, high: 1}", name="lr") == Parameter(type="float", low=0.0, high=1.0)


def test_what_is_not_written_has_defaults() -> None:
    spec = parse_spec(f"{HEAD}learning: {{x: {{low: 0, high: 9}}}}", origin="s.yaml").spec
    assert spec == StudySpec(
        task="autotune.tasks.mnist:Mnist",
        objectives=(Objective(metric="val_accuracy", direction="maximize"),),
        budget=spec.budget,
        sampler=Choice(name="tpe"),
        pruner=Choice(name="hyperband"),
        learning={"x": Parameter(type="int", low=0, high=9)},
        speed={},
        baseline={},
        seed=0,
        speed_search=Choice(name="race"),
        device="auto",
    )
    assert (spec.budget.trials, spec.budget.seconds, spec.budget.epochs) == (30, None, 10)


def test_several_objectives_stay_in_order() -> None:
    text = HEAD.replace("objective: {", "objectives:\n- {").replace(
        "budget", "- {metric: size, direction: minimize}\nbudget"
    )
    spec = parse_spec(f"{text}learning: {{x: {{low: 0, high: 9}}}}", origin="s.yaml").spec
    assert [objective.metric for objective in spec.objectives] == ["val_accuracy", "size"]


def test_options_of_sampler_and_pruner_are_read() -> None:
    head = f"{HEAD}sampler: {{tpe: {{startup_trials: 4}}}}\npruner: {{median: null}}\n"
    text = f"{head}learning: {{x: {{low: 0, high: 9}}}}"
    spec = parse_spec(text, origin="s.yaml").spec
    assert spec.sampler == Choice(name="tpe", options={"startup_trials": 4})
    assert spec.pruner == Choice(name="median")


def test_a_spec_survives_its_own_json() -> None:
    spec = load_spec("mnist1d").spec
    assert StudySpec.model_validate_json(spec.model_dump_json()) == spec


def test_where_is_the_line_of_a_key_or_of_the_nearest_key_above() -> None:
    file = parse_spec(f"{HEAD}learning:\n  x:\n    low: 0\n    high: 9\n", origin="s.yaml")
    assert file.where("learning.x.high") == "s.yaml:7: learning.x.high"
    assert file.where("learning.x.choices") == "s.yaml:5: learning.x.choices"
    assert file.where("seed") == "s.yaml:1: seed"


def test_a_task_in_a_file_is_found_beside_the_spec(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(f"{HEAD}learning: {{x: {{low: 0, high: 9}}}}".replace("autotune.tasks.mnist:", "tasks/mine.py:"))
    file = load_spec(str(path))
    assert file.spec.task == f"{tmp_path}/tasks/mine.py:Mnist"
    assert file.name == "mine"


def test_a_task_that_is_typed_is_found_from_the_working_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert load_spec("mnist", overrides=["task=mine.py:Mine"]).spec.task == f"{tmp_path}/mine.py:Mine"


def test_the_text_of_a_file_gives_the_same_spec_from_anywhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(f"# why\n{HEAD}learning: {{x: {{low: 0, high: 9}}}}".replace("autotune.tasks.mnist:", "mine.py:"))
    file = load_spec(str(path), overrides=["learning.x.high=12", "budget.epochs=3"])
    monkeypatch.chdir("/")
    assert parse_spec(file.text, origin="study mine").spec == file.spec
    assert file.text.startswith("# why\n")


def test_a_file_in_the_working_directory_is_shown_by_its_relative_path(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "mine.yaml").write_text(f"{HEAD}learning: {{x: 3}}")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SpecError, match=r"^mine\.yaml:4: learning: a study needs a parameter to search"):
        load_spec(str(tmp_path / "mine.yaml"))


def test_a_file_without_a_suffix_is_read_where_no_space_has_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "mine").write_text(f"{HEAD}learning: {{x: {{low: 0, high: 9}}}}")
    (tmp_path / "mnist").write_text("nonsense")
    monkeypatch.chdir(tmp_path)
    assert load_spec("mine").name == "mine"
    assert load_spec("mnist").spec.task == "autotune.tasks.mnist:Mnist"


def test_speed_search_is_joint_where_no_learning_parameter_is_searched() -> None:
    text = f"{HEAD}speed: {{num_workers: {{low: 0, high: 2}}}}"
    assert parse_spec(text, origin="s.yaml").spec.speed_search == Choice(name="joint")


def test_speed_search_takes_its_share_of_the_time() -> None:
    text = f"{HEAD}learning: {{x: {{low: 0, high: 9}}}}\nspeed_search: {{race: {{share: 0.25}}}}"
    assert parse_spec(text, origin="s.yaml").spec.speed_search == Choice(name="race", options={"share": 0.25})
