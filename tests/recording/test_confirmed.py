import math

import pytest

from autotune.events import Outcome
from autotune.proof.verdict import Verdict
from autotune.recording.confirmed import read_verdict
from tests.report.study_book import StudyBook, make_spec

BASELINE, FIRST, SECOND = {"lr": 0.1}, {"lr": 0.2}, {"lr": 0.3}
SIDES = {"A": BASELINE, "B": FIRST, "C": SECOND}


@pytest.fixture
def search(storage: str) -> StudyBook:
    """Trial 2 is better than trial 1, and both than the baseline."""
    book = StudyBook(storage)
    for number, (parameters, value) in enumerate(((BASELINE, 0.5), (FIRST, 0.7), (SECOND, 0.9))):
        book.add(number, epochs=[{"val_accuracy": value}], parameters=parameters)
    return book


def confirm(search: StudyBook, order: str, *, values: dict[str, float], repeats: int = 3, against: int = 0) -> Verdict:
    """Trainings in this order; one in lower case fails, and values drift upwards with time."""
    spec = make_spec()
    asked = spec.confirm.model_copy(update={"repeats": repeats, "against": against})
    book = StudyBook(search.storage, name="digits.confirm", spec=spec.model_copy(update={"confirm": asked}))
    for number, side in enumerate(order):
        is_complete = side.isupper()
        value = values[side.upper()] + number / 100
        book.add(
            number,
            epochs=[{"val_accuracy": value}] if is_complete else [],
            outcome=Outcome.COMPLETE if is_complete else Outcome.FAILED,
            parameters=SIDES[side.upper()],
        )
    verdict = read_verdict(search.records, study=search.row)
    assert verdict is not None
    return verdict


def test_new_winner_is_compared_with_trainings_that_alternated_with_its_own(search: StudyBook) -> None:
    # The machine drifts: what was trained later is better, and the trials are all alike.
    verdict = confirm(search, "ABBAABACCAAC", values={"A": 0.5, "B": 0.5, "C": 0.5})

    assert (verdict.winner, verdict.num_winner, verdict.num_reference) == (2, 3, 3)
    assert verdict.conclusion == "no significant gain"
    assert verdict.quantities[0].reference == pytest.approx(0.5 + (6 + 9 + 10) / 300)


def test_earlier_winner_keeps_its_own_trainings_of_the_reference(search: StudyBook) -> None:
    verdict = confirm(search, "ABBAABACCAAC", values={"A": 0.5, "B": 0.5, "C": 0.5})

    assert [other.winner for other in verdict.others] == [1]
    assert verdict.others[0].quantities[0].reference == pytest.approx(0.5 + (0 + 3 + 4) / 300)


def test_training_without_its_counterpart_waits_for_it(search: StudyBook) -> None:
    verdict = confirm(search, "ACCAA", values={"A": 0.5, "C": 0.9})

    assert (verdict.num_winner, verdict.num_reference) == (2, 2)


def test_failed_training_is_in_its_round_and_counts(search: StudyBook) -> None:
    verdict = confirm(search, "ACCAAcCA", values={"A": 0.5, "C": 0.9}, repeats=4)

    assert (verdict.num_winner, verdict.num_winner_failed) == (4, 1)
    assert (verdict.conclusion, verdict.decided_by) == ("no significant gain", "failures")


def test_another_trial_can_be_what_the_winner_is_compared_with(search: StudyBook) -> None:
    # Rounds with the baseline say nothing of trial 1 against trial 2.
    verdict = confirm(search, "ACCAACCBBCCB", values={"A": 0.5, "B": 0.7, "C": 0.9}, against=1)

    assert (verdict.winner, verdict.reference, verdict.is_against_baseline) == (2, 1, False)
    assert verdict.num_reference == 3
    assert verdict.others == ()


def test_metric_that_is_no_number_at_the_end_is_a_failure(search: StudyBook) -> None:
    verdict = confirm(search, "ACCAAC", values={"A": 0.5, "C": math.nan})

    assert (verdict.num_winner_failed, verdict.num_reference_failed) == (3, 0)
    assert verdict.conclusion == "too few trainings"
