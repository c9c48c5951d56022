"""Objectives of time and budgets in seconds or samples, as a spec says them."""

import re

import pytest

from autotune.errors import SpecError
from autotune.goals import Target
from autotune.spec.diff import compare_specs
from autotune.spec.load import parse_spec
from autotune.spec.model import Choice, Objective, StudySpec

ACCURATE = Target(metric="val_accuracy", bound=0.97, is_at_least=True)


def parse(objective: str = "{metric: a, direction: minimize}", *, budget: str = "", pruner: str = "none") -> StudySpec:
    text = (
        "task: a:B\n"
        f"objective: {objective}\n"
        f"budget: {{trials: 5{budget}}}\n"
        f"pruner: {pruner}\n"
        "learning: {lr: {low: 0.1, high: 1}}\n"
    )
    if objective.startswith("["):
        text = text.replace("objective:", "objectives:")
    return parse_spec(text, origin="s.yaml").spec


@pytest.mark.parametrize(
    ("written", "target"),
    [
        ("{time_to: {val_accuracy: 0.97}}", ACCURATE),
        ("{time_to: {val_accuracy: {at_least: 0.97}}}", ACCURATE),
        ("{time_to: {val_loss: {at_most: 0.3}}}", Target(metric="val_loss", bound=0.3, is_at_least=False)),
    ],
)
def test_time_to_a_target_is_made_small(written: str, target: Target) -> None:
    assert parse(written).objectives == (
        Objective(metric=f"time_to_{target.metric}", direction="minimize", target=target),
    )


@pytest.mark.parametrize(
    ("written", "metric", "is_more_better"),
    [
        ("{metric: val_loss, direction: minimize}", "val_loss", False),
        ("{metric: val_accuracy, direction: maximize}", "val_accuracy", True),
        ("{time_to: {val_accuracy: 0.97}}", "val_accuracy", True),
        ("{time_to: {val_loss: {at_most: 0.3}}}", "val_loss", False),
    ],
)
def test_trials_report_the_metric_that_comes_to_a_target(written: str, metric: str, *, is_more_better: bool) -> None:
    (objective,) = parse(written).objectives
    assert (objective.reported_metric, objective.is_more_reported_better) == (metric, is_more_better)


def test_time_to_a_target_may_stand_at_any_place() -> None:
    spec = parse("[{metric: peak_memory_bytes, direction: minimize}, {time_to: {val_accuracy: 0.97}}]")
    assert [objective.metric for objective in spec.objectives] == ["peak_memory_bytes", "time_to_val_accuracy"]


@pytest.mark.parametrize(
    ("written", "message"),
    [
        ("{time_to: {}}", "s.yaml:2: objective.time_to: must name one metric with its target, got {}; write {time_to:"),
        ("{time_to: {a: 1, b: 2}}", "s.yaml:2: objective.time_to: must name one metric with its target, got {a: 1,"),
        (
            "{time_to: 3}",
            "s.yaml:2: objective.time_to: must be a mapping, got 3; write {time_to: {val_accuracy: 0.97}}",
        ),
        ("{time_to: {a: x}}", "s.yaml:2: objective.time_to.a: must be a number, got x; write digits"),
        ("{time_to: {a: {}}}", "s.yaml:2: objective.time_to.a: a target is one bound, got {}; write 0.97, {at_least:"),
        (
            "{time_to: {a: {at_least: 1, at_most: 2}}}",
            "s.yaml:2: objective.time_to.a: a target is one bound, got {at_least: 1, at_most: 2}; write 0.97,",
        ),
        (
            "{time_to: {a: {atleast: 1}}}",
            "s.yaml:2: objective.time_to.a.atleast: must be a known key, got atleast; did you mean at_least?",
        ),
        (
            "{time_to: {a: 1}, direction: minimize}",
            "s.yaml:2: objective: time_to has no metric and no direction beside it, got {time_to: {a: 1}, direction:",
        ),
        (
            "{time_to: {samples_per_second: 1}}",
            "s.yaml:2: objective.time_to.samples_per_second: must be a metric of the task, got samples_per_second;",
        ),
        (
            "[{time_to: {a: 1}}, {time_to: {a: 2}}]",
            "s.yaml:2: objectives.1: each objective needs a metric of its own, got time_to_a; remove one of them",
        ),
    ],
)
def test_target_that_is_none_is_refused_with_its_place(written: str, message: str) -> None:
    with pytest.raises(SpecError, match=f"^{re.escape(message)}"):
        parse(written)


def test_trials_in_seconds_have_a_thousand_epochs_at_most_unless_the_spec_says_otherwise() -> None:
    budget = parse(budget=", resource: seconds, per_trial: 20").budget
    assert (budget.resource, budget.per_trial, budget.max_resource, budget.epochs) == ("seconds", 20, 20, 1000)
    assert parse(budget=", resource: samples, per_trial: 9, epochs: 3").budget.epochs == 3


def test_trials_are_counted_in_epochs_unless_the_spec_says_otherwise() -> None:
    assert parse().budget == parse(budget=", resource: epochs").budget
    assert parse(budget=", epochs: 7").budget.max_resource == 7


@pytest.mark.parametrize(
    ("budget", "message"),
    [
        (", resource: steps", "s.yaml:3: budget.resource: must be one of epochs, seconds, samples, got steps; write"),
        (", resource: seconds", "s.yaml:3: budget: resource: seconds needs per_trial, got {trials: 5, resource:"),
        (
            ", per_trial: 3",
            "s.yaml:3: budget.per_trial: goes with resource: seconds or resource: samples, got 3; write",
        ),
        (", resource: samples, per_trial: 0", "s.yaml:3: budget.per_trial: must be at least 1, got 0; raise it"),
        (", resource: seconds, per_trial: 2.5", "s.yaml:3: budget.per_trial: must be a whole number, got 2.5; write"),
    ],
)
def test_budget_of_a_trial_that_is_none_is_refused_with_its_place(budget: str, message: str) -> None:
    with pytest.raises(SpecError, match=f"^{re.escape(message)}"):
        parse(budget=budget)


def test_pruner_counts_in_the_resource() -> None:
    spec = parse(budget=", resource: seconds, per_trial: 20", pruner="{hyperband: {min_seconds: 2}}")
    assert spec.pruner == Choice(name="hyperband", options={"min_seconds": 2})


@pytest.mark.parametrize(
    ("budget", "pruner", "message"),
    [
        (
            ", resource: seconds, per_trial: 20",
            "{hyperband: {min_epochs: 2}}",
            "s.yaml:4: pruner.hyperband.min_epochs: must count in seconds, as budget.resource says, got min_epochs;",
        ),
        (
            "",
            "{median: {warmup_samples: 2}}",
            "s.yaml:4: pruner.median.warmup_samples: must count in epochs, as budget.resource says, got",
        ),
        (
            ", resource: samples, per_trial: 20",
            "{median: {warmup_samples: 21}}",
            "s.yaml:4: pruner.median.warmup_samples: must be at most budget.per_trial=20, got 21; lower it, or raise",
        ),
    ],
)
def test_pruner_that_counts_otherwise_is_refused_with_its_place(budget: str, pruner: str, message: str) -> None:
    with pytest.raises(SpecError, match=f"^{re.escape(message)}"):
        parse(budget=budget, pruner=pruner)


@pytest.mark.parametrize(
    ("old", "new", "key"),
    [
        (parse("{time_to: {a: 1}}"), parse("{time_to: {a: 2}}"), "objective"),
        (
            parse(budget=", resource: seconds, per_trial: 9"),
            parse(budget=", resource: seconds, per_trial: 8"),
            "budget.per_trial",
        ),
    ],
)
def test_study_does_not_go_on_with_another_target_or_another_length(old: StudySpec, new: StudySpec, key: str) -> None:
    (change,) = compare_specs(old, new).changes
    assert (change.key, change.can_continue) == (key, False)
    assert change.old != change.new
