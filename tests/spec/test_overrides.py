import re

import pytest

from autotune.errors import SpecError
from autotune.spec.load import load_spec, parse_spec
from autotune.spec.model import Choice, Parameter
from autotune.spec.overrides import Override


@pytest.mark.parametrize("override", ["budget.trials=5", "budget.trials = 5"])
def test_a_nested_value_is_replaced(override: str) -> None:
    assert load_spec("mnist", overrides=[override]).spec.budget.trials == 5


def test_a_range_is_moved_by_one_of_its_ends() -> None:
    spec = load_spec("mnist", overrides=["learning.lr.high=0.5"]).spec
    assert spec.learning["lr"] == Parameter(type="float", low=1e-5, high=0.5, log=True)


def test_a_searched_parameter_is_fixed() -> None:
    assert load_spec("mnist", overrides=["learning.dropout=0.0"]).spec.learning["dropout"] == 0.0


def test_a_whole_mapping_is_a_value() -> None:
    spec = load_spec("mnist", overrides=["pruner={median: {startup_trials: 2}}"]).spec
    assert spec.pruner == Choice(name="median", options={"startup_trials": 2})


def test_a_section_that_is_not_there_is_made() -> None:
    text = "task: a:B\nobjective: {metric: a, direction: minimize}\nlearning: {x: {low: 0, high: 1}}\nspeed:\n"
    file = parse_spec(text, origin="s.yaml", overrides=["budget.trials=3", "speed.num_workers=2", "baseline.x=1"])
    assert (file.spec.budget.trials, file.spec.speed, file.spec.baseline) == (3, {"num_workers": 2}, {"x": 1})


def test_an_item_of_a_list_is_reached_by_its_number() -> None:
    spec = load_spec("mnist", overrides=["learning.width.choices.0=4"]).spec
    assert spec.learning["width"] == Parameter(type="choices", choices=(4, 16, 32))


def test_the_last_of_two_overrides_holds() -> None:
    assert load_spec("mnist", overrides=["seed=1", "seed=2"]).spec.seed == 2


def test_every_override_is_in_the_text() -> None:
    file = load_spec("mnist", overrides=["learning.lr.low=1e-4", "device=cpu", "baseline.width=8"])
    assert "low: 1e-4" in file.text
    assert parse_spec(file.text, origin="again").spec == file.spec


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("budget.trials", "--set budget.trials: must be KEY=VALUE with a dotted key, got 'budget.trials'; write --set"),
        ("=3", "--set =3: must be KEY=VALUE with a dotted key, got '=3'; write --set"),
        ("seed=", "--set seed=: must be KEY=VALUE with a dotted key, got 'seed='; write --set"),
        ("a..b=3", "--set a..b=3: must be KEY=VALUE with a dotted key, got 'a..b=3'; write --set"),
        ("seed=[1", "--set seed=[1: the value must be YAML, got '[1'"),
        (
            "sampler.tpe.seed=3",
            "--set sampler.tpe.seed=3: sampler must be a mapping to have a key of its own, got tpe;",
        ),
        (
            "learning.lr.low=-1",
            "--set learning.lr.low=-1: learning.lr.low: a log range needs low > 0, got low=-1; raise",
        ),
        ("learning.lr.low=3", "--set learning.lr.low=3: learning.lr: low must be below high, got low=3 and high=1;"),
        ("learnin.lr=3", "--set learnin.lr=3: learnin: must be a known key, got learnin; did you mean learning?"),
        (
            "budget.trails=3",
            "--set budget.trails=3: budget.trails: must be a known key, got trails; did you mean trials?",
        ),
        ("seed=x", "--set seed=x: seed: must be a whole number, got x; write"),
        (
            "speed=off",
            "--set speed=off: speed: must be a mapping, got 'off'; write {num_workers: {low: 0, high: auto}}",
        ),
        ("budget=3", "--set budget=3: budget: must be a mapping, got 3; write"),
        ("learning.width.choices.7=4", "--set learning.width.choices.7=4: learning.width.choices must be a mapping"),
    ],
)
def test_an_error_names_what_was_typed(override: str, message: str) -> None:
    with pytest.raises(SpecError, match=f"^{re.escape(message)}"):
        load_spec("mnist", overrides=[override])


def test_an_error_names_the_option_that_stands_for_a_key() -> None:
    override = Override(key=("seed",), value=-1, typed="--seed -1")
    with pytest.raises(SpecError, match=r"^--seed -1: seed: must be at least 0, got -1; raise it$"):
        load_spec("mnist", overrides=["seed=3", override])


def test_an_error_elsewhere_names_the_line_of_the_file() -> None:
    text = (
        "task: a:B\nobjective: {metric: a, direction: minimize}\nbudget: {trials: 0}\nlearning: {x: {low: 0, high: 1}}"
    )
    with pytest.raises(SpecError, match=r"^s\.yaml:3: budget\.trials: must be at least 1"):
        parse_spec(text, origin="s.yaml", overrides=["seed=3"])
