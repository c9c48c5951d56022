import pytest

from autotune.errors import InputError, StudyNotFoundError
from autotune.events import Outcome
from autotune.report.comparing.trials import compare
from tests.report.study_book import StudyBook


@pytest.fixture
def book(storage: str) -> StudyBook:
    book = StudyBook(storage)
    book.add(0, epochs=[{"val_accuracy": 0.7, "val_loss": 1.0}], parameters={"lr": 0.1, "width": 8, "depth": 2})
    book.add(1, epochs=[{"val_accuracy": 0.9, "val_loss": 0.5}], parameters={"lr": 0.2, "width": 8, "depth": None})
    book.add(2, outcome=Outcome.DIVERGED, parameters={"lr": 5.0, "width": 8, "momentum": 0.9})
    return book


def test_trials_of_one_study_show_what_differs(book: StudyBook) -> None:
    found = compare(book.storage, names=["digits:0", "digits:1"])
    assert found.differing == {"lr": (0.1, 0.2), "depth": (2, None)}
    assert found.shared == {"width": 8}
    assert found.metrics == ("val_accuracy", "val_loss")
    assert [one.metrics["val_accuracy"] for one in found.contenders] == [0.7, 0.9]


def test_a_parameter_that_one_lacks_differs_even_from_none(book: StudyBook) -> None:
    found = compare(book.storage, names=["digits:1", "digits:2"])
    assert found.differing["depth"] == (None, None)
    assert found.differing["momentum"] == (None, 0.9)


def test_a_study_stands_for_its_best_trial(book: StudyBook) -> None:
    StudyBook(book.storage, name="other").add(0, epochs=[{"val_accuracy": 0.5}])
    found = compare(book.storage, names=["digits", "other"])
    assert [(one.study, one.trial.number) for one in found.contenders] == [("digits", 1), ("other", 0)]
    assert found.metrics == ("val_accuracy",)


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (["digits"], "needs two or more studies or trials, got digits"),
        (["digits:0", "digits:9"], "the study must have this trial, got trials 0 to 2; choose one"),
        (["digits:0", "digits:x"], "a trial is named STUDY:NUMBER, got 'x'"),
    ],
)
def test_names_that_compare_nothing_are_refused(book: StudyBook, names: list[str], message: str) -> None:
    with pytest.raises(InputError, match=message):
        compare(book.storage, names=names)


def test_a_study_that_is_not_there_is_named(book: StudyBook) -> None:
    with pytest.raises(StudyNotFoundError, match="did you mean digits"):
        compare(book.storage, names=["digits", "digit"])


def test_a_study_without_a_complete_trial_has_no_best(book: StudyBook) -> None:
    StudyBook(book.storage, name="empty")
    with pytest.raises(InputError, match="its best trial must be a complete one"):
        compare(book.storage, names=["digits", "empty"])
