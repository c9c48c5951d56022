import pytest

from autotune.report.comparing.noise import noise_of, throughput_noise
from autotune.report.summaries.record import StudyRecord, read_record
from tests.report.study_book import StudyBook
from tests.reports import make_report


def _record(book: StudyBook) -> StudyRecord:
    return read_record(book.storage, name="digits")


def _curve(*values: float) -> list[dict[str, float]]:
    return [{"val_accuracy": value} for value in values]


def test_trials_of_the_same_parameters_tell_the_noise(storage: str) -> None:
    book = StudyBook(storage)
    for number, value in enumerate((0.8, 0.9, 0.85)):
        book.add(number, epochs=_curve(value))
    record = _record(book)
    noise = noise_of(record.trials[1], metric="val_accuracy", record=record)
    assert noise is not None
    assert noise.source == "seeds"
    assert noise.count == 3
    assert noise.deviation == pytest.approx(0.05)


def test_trainings_of_a_confirmation_tell_the_noise(storage: str) -> None:
    book, confirmation = StudyBook(storage), StudyBook(storage, name="digits.confirm")
    book.add(0, epochs=_curve(0.8))
    for number, value in enumerate((0.9, 0.85)):
        confirmation.add(number, epochs=_curve(value))
    record = _record(book)
    noise = noise_of(record.trials[0], metric="val_accuracy", record=record)
    assert noise is not None
    assert (noise.source, noise.count) == ("seeds", 3)


def test_a_straight_curve_has_no_scatter_whatever_its_slope(storage: str) -> None:
    book = StudyBook(storage)
    book.add(0, epochs=_curve(0.0, 0.4, 0.5, 0.6, 0.7, 0.8), seconds=[1.0] * 6)
    record = _record(book)
    noise = noise_of(record.trials[0], metric="val_accuracy", record=record)
    assert noise is not None
    assert noise.source == "epochs"
    assert noise.count == 4
    assert noise.deviation == pytest.approx(0.0, abs=1e-12)


def test_few_epochs_and_no_repeat_tell_nothing(storage: str) -> None:
    book = StudyBook(storage)
    book.add(0, epochs=_curve(0.1, 0.9, 0.5, 0.7, 0.6), seconds=[1.0] * 5)
    record = _record(book)
    assert noise_of(record.trials[0], metric="val_accuracy", record=record) is None


def test_throughput_noise_leaves_the_first_epoch_out() -> None:
    rates = (10.0, 100.0, 102.0, 98.0)
    reports = [make_report(epoch, samples_per_second=rate) for epoch, rate in enumerate(rates, start=1)]
    noise = throughput_noise(reports)
    assert noise is not None
    assert noise.deviation == pytest.approx(2.0)
