"""A study that begins with what another one learned, cut off on its way."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from autotune.coordinator.books import Books
from autotune.coordinator.histories import read_histories
from autotune.coordinator.ledger import Ledger
from autotune.coordinator.opening.warm_start import warm_start
from autotune.events import Finished, Outcome, Scalar
from autotune.recording.drafts import NewStudy, NewTrial
from tests.coordinator.simulated import Told, make_ledger, open_books
from tests.recording.cutting_off import cut_off_at
from tests.reports import make_report

OLD = "old"
PARAMETERS: dict[str, Scalar] = {
    "optimizer": "adam",
    "lr": 1e-2,
    "batch_size": 64,
    "num_workers": 0,
    "optimizer_impl": "fused",
}


@dataclass
class Cold:
    """A study that has no trial yet, beside one that has two."""

    books: Books
    ledger: Ledger

    def warm(self) -> list[str]:
        told = Told()
        warm_start(self.books, source=OLD, ledger=self.ledger, observer=told)
        return told.lines

    @property
    def rows(self) -> list[tuple[int, str | None, Outcome | None]]:
        rows = self.books.records.trials(self.books.study)
        return [(row.number, row.origin, row.outcome) for row in rows]


@pytest.fixture
def cold(tmp_path: Path) -> Iterator[Cold]:
    with open_books(tmp_path) as books:
        records, spec_json = books.records, books.spec.model_dump_json()
        old = records.create_study(NewStudy(name=OLD, task="a:B", spec_text="", spec_json=spec_json, seed=7))
        for number in range(2):
            parameters = {**PARAMETERS, "accumulate": number + 1, "schedule": "cosine"}
            row = records.add_trial(old, new=NewTrial(number=number, parameters=parameters, seed=number))
            records.add_report(row, report=make_report(1))
            records.finish_trial(row, finished=Finished(outcome=Outcome.COMPLETE), values=(0.5,))
        yield Cold(books, make_ledger(books))


WARM = [(0, None, None), (1, "old/0", Outcome.COMPLETE), (2, "old/1", Outcome.COMPLETE)]


def test_trials_of_the_other_study_come_behind_the_baseline(cold: Cold) -> None:
    assert cold.warm() == ["took over 2 of 2 ended trials of study old"]
    assert cold.rows == WARM


def test_start_that_was_cut_off_once_the_baseline_was_asked_takes_them_over_after_all(cold: Cold) -> None:
    cold.ledger.ask()
    cold.warm()
    assert cold.rows == WARM


def test_start_that_was_cut_off_on_the_way_takes_over_the_others(cold: Cold) -> None:
    cold.ledger.ask()
    books = cold.books
    old = books.records.study(OLD)
    first, *others = books.records.trials(old)
    histories = read_histories(books.records, old, rows=[first, *others], spec=books.spec)
    books.search.import_trials(histories, source=OLD)
    new = NewTrial(number=1, parameters=first.parameters, seed=first.seed, origin=f"{OLD}/0")
    row = books.records.add_trial(books.study, new=new)
    books.records.finish_trial(row, finished=Finished(outcome=Outcome.COMPLETE), values=(0.5,))
    cold.warm()
    assert cold.rows == WARM


def test_trial_that_was_being_taken_over_when_its_start_was_cut_off_is_no_trial_to_train(cold: Cold) -> None:
    """It was trained like one of the study's own, and its checkpoint kept in place of the best one's."""
    cold.ledger.ask()
    with cut_off_at("UPDATE autotune_trial", engine=cold.books.records.engine):
        cold.warm()
    assert [ticket.row.number for ticket in cold.ledger.unfinished()] == [0]
    cold.warm()
    assert cold.rows == WARM


def test_study_that_has_begun_to_train_takes_nothing_over(cold: Cold) -> None:
    ticket = cold.ledger.ask()
    assert ticket is not None
    cold.ledger.record_launch(ticket, pid=1, device="cpu")
    cold.warm()
    assert [number for number, _, _ in cold.rows] == [0]
