import pytest

from autotune.spec.diff import Change, Sources, compare_specs
from autotune.spec.load import load_spec, parse_spec

TEXT = """\
task: a:B
objective: {metric: a, direction: minimize}
budget: {trials: 30, epochs: 6}
learning:
  optimizer: {choices: [sgd, adam]}
  lr: {low: 1e-4, high: 1e-1, log: true}
  momentum: {low: 0.0, high: 0.9}
  width: 16
speed:
  num_workers: 0
baseline: {optimizer: adam}
"""


def change(*overrides: str) -> tuple[Change, ...]:
    old = parse_spec(TEXT, origin="old.yaml").spec
    return compare_specs(old, parse_spec(TEXT, origin="new.yaml", overrides=overrides).spec).changes


def test_a_spec_does_not_differ_from_itself() -> None:
    spec = load_spec("cudnn").spec
    diff = compare_specs(spec, spec)
    assert (diff.changes, diff.can_continue) == ((), True)


@pytest.mark.parametrize(
    ("override", "key", "old", "new"),
    [
        ("learning.lr.high=1", "learning.lr", "{type: float, low: 0.0001, high: 0.1, log: true}", None),
        ("learning.lr.low=1e-3", "learning.lr", "{type: float, low: 0.0001, high: 0.1, log: true}", None),
        ("learning.momentum.when={optimizer: sgd}", "learning.momentum", "{type: float, low: 0.0, high: 0.9}", None),
        ("learning.dropout={low: 0.0, high: 0.5}", "learning.dropout", None, "{type: float, low: 0.0, high: 0.5}"),
        ("learning.lr=1e-3", "learning.lr", "{type: float, low: 0.0001, high: 0.1, log: true}", "0.001"),
        ("learning.width={low: 8, high: 32}", "learning.width", "16", "{type: int, low: 8, high: 32}"),
        ("speed.num_workers=2", "speed.num_workers", "0", "2"),
        ("budget.trials=60", "budget.trials", "30", "60"),
        ("budget.seconds=60", "budget.seconds", None, "60.0"),
        ("sampler={tpe: {startup_trials: 3}}", "sampler", "tpe", "{tpe: {startup_trials: 3}}"),
        ("pruner=none", "pruner", "hyperband", "none"),
        ("seed=1", "seed", "0", "1"),
        ("device=cpu", "device", "auto", "cpu"),
    ],
)
def test_a_study_goes_on_with_what_optuna_can_go_on_with(
    override: str, key: str, old: str | None, new: str | None
) -> None:
    (only,) = change(override)
    assert only.can_continue
    assert (only.key, only.old) == (key, old)
    assert only.new == new or new is None


@pytest.mark.parametrize(
    ("override", "key", "why"),
    [
        ("task=c:D", "task", "the trials so far trained another task"),
        ("objective.direction=maximize", "objective", "the trials so far aimed at something else"),
        ("objective.metric=b", "objective", "the trials so far aimed at something else"),
        ("budget.epochs=9", "budget.epochs", "trials of other lengths don't compare"),
        ("learning.optimizer.choices=[sgd, adam, muon]", "learning.optimizer", "Optuna can't change the choices"),
        ("learning.lr.log=false", "learning.lr", "Optuna can't switch log"),
        ("learning.momentum.type=int", "learning.momentum", "Optuna can't change the kind"),
        ("learning.width=32", "learning.width", "the trials so far trained with another value"),
        ("baseline.lr=1e-3", "baseline", "trial 0 was the baseline"),
    ],
)
def test_a_study_does_not_go_on_with_what_would_mix_trials_that_do_not_compare(
    override: str, key: str, why: str
) -> None:
    overrides = (
        [override, "learning.momentum.low=0", "learning.momentum.high=1"] if "type=int" in override else [override]
    )
    (only,) = change(*overrides)
    assert (only.key, only.can_continue) == (key, False)
    assert only.why.startswith(why)


@pytest.mark.parametrize("sources", [Sources("a", "a"), Sources(None, "a"), Sources()])
def test_moved_task_is_no_other_task(sources: Sources) -> None:
    assert _moved(sources) == ()


def test_moved_task_with_other_code_is_another_one() -> None:
    (only,) = _moved(Sources("a", "b"))
    assert (only.key, only.can_continue, only.why) == ("task", False, "the trials so far trained other code")


def test_task_whose_code_was_changed_in_its_place_goes_on_and_is_told() -> None:
    spec = parse_spec(TEXT, origin="a.yaml").spec
    (only,) = compare_specs(spec, spec, sources=Sources("a", "b")).changes
    assert only.can_continue
    assert only.new == "the same, and its code has changed: trials from now on train other code than those so far"
    assert compare_specs(spec, spec, sources=Sources("a", None)).changes == ()


def _moved(sources: Sources) -> tuple[Change, ...]:
    specs = [parse_spec(TEXT.replace("a:B", f"/{place}/t.py:B"), origin="a.yaml").spec for place in ("old", "new")]
    return compare_specs(*specs, sources=sources).changes


def test_one_change_that_can_not_go_on_stops_the_whole() -> None:
    old = parse_spec(TEXT, origin="old.yaml").spec
    new = parse_spec(TEXT, origin="new.yaml", overrides=["budget.trials=60", "learning.lr.log=false"]).spec
    diff = compare_specs(old, new)
    assert [item.can_continue for item in diff.changes] == [True, False]
    assert not diff.can_continue


def test_a_parameter_that_is_gone_is_a_change_that_goes_on() -> None:
    old = parse_spec(TEXT, origin="old.yaml").spec
    new = parse_spec(TEXT.replace("  momentum: {low: 0.0, high: 0.9}\n", ""), origin="new.yaml").spec
    (only,) = compare_specs(old, new).changes
    assert (only.key, only.new, only.can_continue) == ("learning.momentum", None, True)
