"""Which configurations an ablation trains, and what its rows then say; trainings are over at once."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest

from autotune.coordinator.interrupts import Interrupts
from autotune.coordinator.retraining.ablating import ablate
from autotune.events import Scalar
from autotune.recording.ablated import read_ablation, sides_of
from autotune.recording.places import Places
from autotune.report.page.blocks import Bars, Code, Table, Words
from autotune.report.page.composing import compose
from autotune.report.summaries.record import read_record
from autotune.spec.model import Budget, Parameter
from tests.coordinator.retraining.instant import InstantTrials, Said, ends_with, make_workplace
from tests.report.study_book import StudyBook, make_spec
from tests.stores import copy_store

BASELINE: dict[str, Scalar] = {"lr": 0.1, "width": 4, "num_workers": 0}
WINNER: dict[str, Scalar] = {"lr": 0.2, "width": 8, "num_workers": 2}


def train(parameters: Mapping[str, Scalar], count: int) -> Said:
    """The learning rate does nearly all, the width a little, the workers nothing."""
    accuracy = 0.5 + 0.3 * (parameters["lr"] == WINNER["lr"]) + 0.06 * (parameters["width"] == WINNER["width"])
    return ends_with(accuracy + float(np.random.default_rng(count).normal(0, 0.002)))


@pytest.fixture
def book(tmp_path: Path, empty_store: Path) -> StudyBook:
    copy_store(empty_store, folder=tmp_path)
    learning = {name: Parameter(type="float", low=0.0, high=9.0) for name in ("lr", "width")}
    spec = make_spec(budget=Budget(trials=2, epochs=1)).model_copy(update={"learning": learning})
    book = StudyBook(f"sqlite:///{tmp_path}/autotune.db", spec=spec)
    book.add(0, epochs=[{"val_accuracy": 0.5}], parameters=BASELINE)
    book.add(1, epochs=[{"val_accuracy": 0.9}], parameters=WINNER)
    return book


def ablated(book: StudyBook, *, folder: Path, repeats: int) -> list[Mapping[str, Scalar]]:
    """What was trained, in order."""
    trials = InstantTrials(train)
    with Interrupts() as interrupts:
        workplace, _ = make_workplace(book.storage, folder=folder, trials=trials, interrupts=interrupts)
        winner, baseline = sides_of(book.records.trials(book.row), spec=book.spec)
        assert winner is not None
        assert baseline is not None
        assert ablate(workplace, book.row, winner=winner, baseline=baseline, repeats=repeats)
    return trials.trained


def test_ablation_measures_what_each_change_is_worth(book: StudyBook, tmp_path: Path) -> None:
    order = ablated(book, folder=tmp_path, repeats=2)
    more = ablated(book, folder=tmp_path, repeats=3)

    changes = [WINNER | {name: BASELINE[name]} for name in BASELINE]
    assert order == [BASELINE, WINNER, *changes, *reversed(changes), WINNER, BASELINE]
    assert more == [BASELINE, WINNER, *changes]
    measured = read_ablation(book.records, study=book.row)
    assert measured is not None
    assert (measured.winner, measured.num_trainings) == (1, 3)
    assert [part.names for part in measured.parts[:2]] == [("lr",), ("width",)]
    assert measured.parts[0].share == pytest.approx(0.3 / 0.36, abs=0.05)
    assert [part.is_sure for part in measured.parts] == [True, True, False]


def test_report_says_which_worth_is_measured(book: StudyBook, tmp_path: Path) -> None:
    places = Places(storage=book.storage, tracking_uri="sqlite:///mlruns/mlflow.db")
    before = compose(read_record(book.storage, name="digits"), places=places).sections[1]
    ablated(book, folder=tmp_path, repeats=3)
    after = compose(read_record(book.storage, name="digits"), places=places).sections[1]

    assert any(isinstance(block, Code) and "--ablate" in block.lines[0] for block in before.blocks)
    assert not any(isinstance(block, Code) for block in after.blocks)
    table = next(block for block in after.blocks if isinstance(block, Table))
    assert table.header == ("parameter", "baseline", "winner", "measured worth")
    assert [row[0] for row in table.rows] == ["lr", "width", "num_workers"]
    assert table.rows[0][3].startswith(("+0.29", "+0.3"))
    bars = next(block for block in after.blocks if isinstance(block, Bars))
    assert [bar.label for bar in bars.bars[:2]] == ["lr", "width"]
    assert any(isinstance(block, Words) and block.text.startswith("Measured: ") for block in after.blocks)


def test_winner_that_differs_in_one_thing_is_trained_against_the_baseline_alone(
    tmp_path: Path, book: StudyBook
) -> None:
    book.add(2, epochs=[{"val_accuracy": 0.95}], parameters=BASELINE | {"lr": 0.2})

    order = ablated(book, folder=tmp_path, repeats=1)

    assert order == [BASELINE, BASELINE | {"lr": 0.2}]
    measured = read_ablation(book.records, study=book.row)
    assert measured is not None
    assert [part.names for part in measured.parts] == [("lr",)]


def test_earlier_winner_s_ablation_says_nothing_of_a_new_one(book: StudyBook, tmp_path: Path) -> None:
    ablated(book, folder=tmp_path, repeats=1)
    book.add(2, epochs=[{"val_accuracy": 0.95}], parameters=WINNER | {"lr": 0.3})

    assert read_ablation(book.records, study=book.row) is None
