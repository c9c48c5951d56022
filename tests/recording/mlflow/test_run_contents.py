from dataclasses import replace

import pytest

from autotune.events import Outcome, Scalar
from autotune.recording.drafts import NewTrial
from autotune.recording.mlflow.run_contents import (
    epoch_metrics,
    final_metrics,
    name_trial,
    show_value,
    trial_status,
    trial_tags,
)
from autotune.recording.records import Records
from autotune.recording.rows import StudyRow, TrialStatus
from tests.reports import make_report


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (3e-3, "3e-3"),
        (0.00312, "3.1e-3"),
        (1e-05, "1e-5"),
        (0.1, "0.1"),
        (0.0123456, "0.0123"),
        (1.0, "1"),
        (0.0, "0"),
        (25000.0, "2.5e4"),
        (128, "128"),
        (True, "true"),
        (None, "None"),
        ("adam", "adam"),
        ("package.module:Lion", "Lion"),
        (float("inf"), "inf"),
    ],
)
def test_values_are_shown_as_people_write_them(value: Scalar, shown: str) -> None:
    assert show_value(value) == shown


@pytest.mark.parametrize(
    ("parameters", "name"),
    [
        ({"width": 8, "batch_size": 128, "lr": 3e-3, "optimizer": "adam"}, "trial 17 · adam · lr 3e-3 · bs 128"),
        ({"lr": 0.5}, "trial 17 · lr 0.5"),
        ({"width": 8, "depth": 2, "dropout": 0.5, "more": 1}, "trial 17 · width 8 · depth 2 · dropout 0.5"),
        ({}, "trial 17"),
    ],
)
def test_a_run_is_named_after_what_matters(
    records: Records, study: StudyRow, parameters: dict[str, Scalar], name: str
) -> None:
    trial = records.add_trial(study, new=NewTrial(number=17, parameters=parameters, seed=1))
    assert name_trial(trial) == name


def test_a_trial_that_was_not_launched_is_no_finished_run(records: Records, study: StudyRow) -> None:
    trial = records.add_trial(study, new=NewTrial(number=0, parameters={}, seed=1))
    assert trial_status(trial) == "RUNNING"
    ended = replace(trial, status=TrialStatus.ENDED, outcome=Outcome.INTERRUPTED)
    assert trial_status(ended) == "KILLED"


def test_a_long_traceback_keeps_its_end(records: Records, study: StudyRow) -> None:
    trial = records.add_trial(study, new=NewTrial(number=0, parameters={}, seed=1))
    tags = trial_tags(replace(trial, traceback="x" * 20_000 + "ValueError: no"), environment=None)
    assert tags["traceback"].endswith("ValueError: no")
    assert len(tags["traceback"]) <= 5000


def test_the_objectives_are_the_first_metrics(study: StudyRow) -> None:
    report = make_report(1, metrics={"train_loss": 0.5, "val_loss": 0.6, "val_accuracy": 0.7})
    keys = [metric.key for metric in epoch_metrics(report, study=study)]
    assert keys[:5] == ["Objective/val_accuracy", "val_accuracy", "train_loss", "val_loss", "samples_per_second"]


def test_mlflows_compare_page_opens_with_the_objective(records: Records, study: StudyRow) -> None:
    """Its plots take the first name in the order of their letters, as JavaScript and Python sort them."""
    trial = replace(
        records.add_trial(study, new=NewTrial(number=0, parameters={}, seed=1)), values=(0.7,), ended_at=3.0
    )
    report = make_report(1, metrics={"accuracy_of_5": 0.9, "val_accuracy": 0.7})
    metrics = [*epoch_metrics(report, study=study), *final_metrics(trial, study=study, last_epoch=1)]
    assert min(metric.key for metric in metrics) == "Objective/val_accuracy"
