import pytest

from autotune.events import Outcome
from autotune.report.summaries.reading import read_studies, read_study
from autotune.spec.model import Objective
from tests.report.study_book import StudyBook, make_spec


def test_best_trial_is_the_complete_one_with_the_best_objective(storage: str) -> None:
    book = StudyBook(storage)
    book.add(0, epochs=[{"val_accuracy": 0.5}, {"val_accuracy": 0.8}])
    book.add(1, epochs=[{"val_accuracy": 0.5}, {"val_accuracy": 0.9}])
    book.add(2, outcome=Outcome.PRUNED, epochs=[{"val_accuracy": 0.99}])
    study = read_study(storage, name="digits").study
    assert study.best is not None
    assert study.best.number == 1
    assert study.outcomes == {"complete": 2, "pruned": 1}


def test_earlier_trial_is_best_of_two_that_are_equal(storage: str) -> None:
    book = StudyBook(storage)
    for number in range(3):
        book.add(number, epochs=[{"val_accuracy": 0.9}])
    study = read_study(storage, name="digits").study
    assert study.best is not None
    assert study.best.number == 0


def test_smallest_objective_is_best_where_it_is_minimized(storage: str) -> None:
    book = StudyBook(storage, spec=make_spec([Objective(metric="val_loss", direction="minimize")]))
    book.add(0, epochs=[{"val_loss": 0.5}])
    book.add(1, epochs=[{"val_loss": 0.3}])
    study = read_study(storage, name="digits").study
    assert study.best is not None
    assert study.gain is not None
    assert study.best.number == 1
    assert study.gain.objective == pytest.approx(-0.2, abs=1e-12)
    assert study.gain.is_better


def test_gain_compares_throughput_and_time_an_epoch_of_the_steady_part(storage: str) -> None:
    book = StudyBook(storage)
    book.add(0, epochs=[{"val_accuracy": 0.7}, {"val_accuracy": 0.8}], seconds=[9.0, 2.0])
    book.add(1, epochs=[{"val_accuracy": 0.7}, {"val_accuracy": 0.9}], seconds=[9.0, 1.0])
    gain = read_study(storage, name="digits").study.gain
    assert gain is not None
    assert gain.throughput_ratio == pytest.approx(2.0, abs=1e-12)
    assert gain.epoch_time_ratio == pytest.approx(1.5 / 2.5, abs=1e-12)


def test_share_of_evaluation_is_told_over_the_steady_part(storage: str) -> None:
    book = StudyBook(storage)
    book.add(0, epochs=[{"val_accuracy": 0.7}, {"val_accuracy": 0.8}], seconds=[9.0, 2.0])  # 0.5 s of evaluation each
    book.add(1, outcome=None)
    trained, queued = read_study(storage, name="digits").trials
    assert trained.evaluation_share == pytest.approx(0.2, abs=1e-12)
    assert queued.evaluation_share is None


def test_there_is_no_gain_over_a_baseline_that_did_not_complete(storage: str) -> None:
    book = StudyBook(storage)
    book.add(0, outcome=Outcome.FAILED, reason="ValueError: no")
    book.add(1, epochs=[{"val_accuracy": 0.9}])
    study = read_study(storage, name="digits").study
    assert study.gain is None
    assert study.best is not None


def test_front_has_every_trial_that_no_other_beats(storage: str) -> None:
    objectives = [
        Objective(metric="val_accuracy", direction="maximize"),
        Objective(metric="val_loss", direction="minimize"),
    ]
    book = StudyBook(storage, spec=make_spec(objectives))
    book.add(0, epochs=[{"val_accuracy": 0.8, "val_loss": 0.4}])
    book.add(1, epochs=[{"val_accuracy": 0.9, "val_loss": 0.5}])
    book.add(2, epochs=[{"val_accuracy": 0.7, "val_loss": 0.6}])
    study = read_study(storage, name="digits").study
    assert [trial.number for trial in study.front] == [1, 0]


def test_running_trial_shows_the_objective_of_its_last_epoch(storage: str) -> None:
    book = StudyBook(storage)
    book.add(0, outcome=None, epochs=[{"val_accuracy": 0.5}, {"val_accuracy": 0.6}])
    report = read_study(storage, name="digits")
    (trial,) = report.trials
    assert trial.outcome == "running"
    assert trial.objectives == {"val_accuracy": 0.6}
    assert trial.epochs == 2
    assert report.study.best is None


def test_studies_are_listed_oldest_first(storage: str) -> None:
    for name in ("zebra", "ant"):
        StudyBook(storage, name=name)
    assert [study.name for study in read_studies(storage)] == ["zebra", "ant"]
