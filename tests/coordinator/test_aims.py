import math
from pathlib import Path

import pytest

from autotune.coordinator.aims import (
    add_last_word,
    check_jobs,
    compares_speed,
    judge,
    known_values,
    spent_resource,
    step_of,
    targets_of,
    task_metrics,
    value_on_the_way,
)
from autotune.errors import SpecError
from autotune.events import Finished, Outcome
from autotune.goals import Target
from autotune.spec.load import parse_spec
from autotune.spec.model import Budget, Objective
from tests.reports import make_report

TARGET = Target(metric="val_accuracy", bound=0.5, is_at_least=True)
TIME = Objective(metric="time_to_val_accuracy", direction="minimize", target=TARGET)
SPEED = Objective(metric="samples_per_second", direction="maximize")
MEMORY = Objective(metric="peak_memory_bytes", direction="minimize")
LOSS = Objective(metric="train_loss", direction="minimize")
SPEC = parse_spec(
    """
    task: a:B
    objective: {metric: val_accuracy, direction: maximize}
    budget: {trials: 3, epochs: 3}
    learning: {lr: {low: 1e-3, high: 1, log: true}}
    """,
    origin="a.yaml",
).spec


def test_task_reports_what_it_can_know() -> None:
    assert task_metrics([TIME, SPEED, MEMORY, LOSS]) == ("val_accuracy", "train_loss")
    assert targets_of([SPEED, TIME]) == (TARGET,)


def test_values_are_the_last_epochs_metric_the_steady_throughput_and_the_most_memory() -> None:
    reports = [
        make_report(1, peak_memory_bytes=700),
        make_report(2, peak_memory_bytes=500, metrics={"train_loss": 0.5, "time_to_val_accuracy": 3.5}),
    ]
    values = known_values([TIME, SPEED, MEMORY, LOSS], reports=reports, samples_per_second=320.0)
    assert values == {
        "time_to_val_accuracy": 3.5,
        "samples_per_second": 320.0,
        "peak_memory_bytes": 700.0,
        "train_loss": 0.5,
    }


def test_values_that_nobody_told_are_left_out() -> None:
    assert known_values([TIME, SPEED, MEMORY, LOSS], reports=[], samples_per_second=None) == {}


@pytest.mark.parametrize(("objective", "value"), [(TIME, 0.25), (SPEED, 320.0), (MEMORY, 5_000_000_000.0), (LOSS, 1.5)])
def test_search_is_told_the_shortfall_the_epochs_own_measures_or_the_metric(objective: Objective, value: float) -> None:
    assert value_on_the_way(objective, make_report(1)) == value


def test_search_is_told_nothing_of_a_metric_that_was_not_reported() -> None:
    assert math.isnan(value_on_the_way(TIME, make_report(1, metrics={})))
    assert math.isnan(value_on_the_way(LOSS, make_report(1, metrics={})))


@pytest.mark.parametrize(
    ("budget", "step", "spent"),
    [
        (Budget(), 3, 3),
        (Budget(resource="seconds", per_trial=20), 7, 7.75),
        (Budget(resource="samples", per_trial=100_000), 12_300, 12_345),
    ],
)
def test_search_is_told_at_whole_steps_of_the_resource(budget: Budget, step: int, spent: float) -> None:
    report = make_report(3, trained_seconds=7.75, trained_samples=12_345)
    assert step_of(report, budget=budget) == step
    assert spent_resource(report, budget=budget) == spent


@pytest.mark.parametrize(
    ("objectives", "where"),
    [
        ("objective: {metric: samples_per_second, direction: maximize}", "s.yaml:2: objective.metric"),
        (
            "objectives: [{metric: a, direction: minimize}, {metric: samples_per_second, direction: maximize}]",
            "s.yaml:2: objectives.1.metric",
        ),
    ],
)
def test_throughput_is_no_objective_of_trials_that_run_side_by_side(
    tmp_path: Path, objectives: str, where: str
) -> None:
    text = f"task: a:B\n{objectives}\nbudget: {{trials: 3}}\nlearning: {{lr: {{low: 0.1, high: 1}}}}\n"
    file = parse_spec(text, origin="s.yaml", folder=tmp_path)
    check_jobs(file, jobs=1)
    with pytest.raises(SpecError, match=f"^{where}: samples_per_second is compared .*, got --jobs 2; leave --jobs"):
        check_jobs(file, jobs=2)


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"objectives": (LOSS, MEMORY)}, False),
        ({"objectives": (LOSS, SPEED)}, True),
        ({"objectives": (TIME,)}, True),
        ({"objectives": (LOSS,), "budget": Budget(trials=3, resource="samples", per_trial=100)}, False),
        ({"objectives": (LOSS,), "budget": Budget(trials=3, resource="seconds", per_trial=100)}, True),
    ],
)
def test_speed_decides_where_it_is_an_objective_or_the_trials_get_seconds(
    changes: dict[str, object], *, expected: bool
) -> None:
    assert compares_speed(SPEC.model_copy(update=changes)) is expected


def test_reason_of_a_pruned_trial_tells_the_last_epoch_that_it_reported() -> None:
    reports = [make_report(1), make_report(2, metrics={"val_accuracy": 0.5})]
    pruned = Finished(outcome=Outcome.PRUNED, reason="hyperband: val_accuracy 0.25 after epoch 1")
    said = add_last_word(pruned, reports=reports, spec=SPEC)
    later = "by the time it stopped, val_accuracy 0.5 after epoch 2"
    assert said == Finished(outcome=Outcome.PRUNED, reason=f"{pruned.reason}; {later}")
    assert add_last_word(pruned, reports=reports[:1], spec=SPEC) is pruned


def test_reason_that_is_no_pruners_is_as_it_was() -> None:
    reports = [make_report(1), make_report(2)]
    for outcome in (Outcome.PRUNED, Outcome.FAILED):
        finished = Finished(outcome=outcome, reason="the study's budget of 3 s is used up")
        assert add_last_word(finished, reports=reports, spec=SPEC) is finished


MISSING = {
    SPEED: (
        [make_report(1, samples=0)],
        (
            "the loop's training batches must be watched, got none that were; "
            "take them from trial.loader, or pass your own through trial.watch"
        ),
    ),
    LOSS: (
        [make_report(1, metrics={"val_loss": 1.0, "val_accuracy": 0.5})],
        "the task must report it, got val_accuracy, val_loss; report it or change the objective",
    ),
    MEMORY: ([], "the task must report its epochs, got no report; call trial.report"),
}


@pytest.mark.parametrize("objective", MISSING, ids=lambda objective: objective.metric)
def test_objective_without_a_value_fails_a_complete_trial_and_names_the_remedy(objective: Objective) -> None:
    reports, reason = MISSING[objective]
    finished, values = judge(Finished(outcome=Outcome.COMPLETE), objectives=[objective], reports=reports)
    assert (finished.outcome, values) == (Outcome.FAILED, None)
    assert finished.reason == f"objective {objective.metric}: {reason}"
