import math

import pytest

from autotune.events import Outcome
from autotune.recording.rows import StudyState
from autotune.report.page.blocks import Bars, Code, Facts, Figures, Section, Table, Words
from autotune.report.page.composing import Report
from autotune.spec.model import Objective
from tests.report.page_study import make_report
from tests.report.study_book import MAXIMIZE, StudyBook, make_spec


def _section(report: Report, key: str) -> Section:
    return next(section for section in report.sections if section.key == key)


def test_sections_stand_in_the_order_in_which_a_decision_is_made(report: Report) -> None:
    keys = [section.key for section in report.sections]
    assert keys == ["verdict", "winner", "progress", "parameters", "failures", "reproduce"]


def test_the_verdict_says_what_was_gained_and_that_it_is_not_proved(report: Report) -> None:
    verdict = _section(report, "verdict")
    lead, doubt = verdict.blocks[0], verdict.blocks[1]
    assert isinstance(lead, Words)
    assert lead.text == "Trial 5 has val_accuracy 0.7, the baseline 0.5: +0.2, at 1.00 times its throughput."
    assert isinstance(doubt, Words)
    assert doubt.text.startswith("Not confirmed yet")
    assert verdict.data["is_confirmed"] is False


def test_the_parameter_that_made_the_difference_has_the_largest_share(report: Report) -> None:
    shares = _section(report, "winner").data["shares"]
    assert isinstance(shares, dict)
    assert next(iter(shares)) == "width"
    assert sum(shares.values()) == pytest.approx(0.2)


def test_importance_finds_the_parameter_that_matters(report: Report) -> None:
    bars = next(block for block in _section(report, "parameters").blocks if isinstance(block, Bars))
    assert bars.bars[0].label == "width"
    assert bars.bars[0].size == 1.0


def test_failures_that_differ_in_numbers_alone_are_one_group(report: Report) -> None:
    table = _section(report, "failures").blocks[0]
    assert isinstance(table, Table)
    assert [(row[0], row[1], row[3]) for row in table.rows] == [("3", "failed", "14, 15, 16"), ("1", "diverged", "17")]
    assert "autotune trial replay digits 14" in table.rows[0][4]
    assert "from lr 9 on" in table.rows[1][4]


def test_failure_that_no_error_tells_of_is_looked_for_in_its_log(storage: str) -> None:
    """It was told that the task's code raised, where its process had been killed."""
    book = StudyBook(storage)
    book.add(0, outcome=Outcome.FAILED, reason="its process was killed by SIGSEGV")
    table = _section(make_report(book), "failures").blocks[0]
    assert isinstance(table, Table)
    assert "'autotune study logs digits 0'" in table.rows[0][4]


def test_a_study_without_trials_has_a_report_without_empty_sections(storage: str) -> None:
    report = make_report(StudyBook(storage))
    assert [section.key for section in report.sections] == ["verdict", "reproduce"]


def test_a_baseline_that_nothing_beats_is_to_be_kept(storage: str) -> None:
    book = StudyBook(storage)
    book.add(0, epochs=[{"val_accuracy": 0.9}])
    book.add(1, epochs=[{"val_accuracy": 0.8}], parameters={"lr": 0.2})
    verdict = make_report(book).sections[0]
    assert verdict.blocks[0] == Words(
        text="Keep the baseline: of 2 trials none was better than its val_accuracy 0.9.", kind="lead"
    )


def test_a_study_in_which_nothing_was_complete_recommends_nothing(storage: str) -> None:
    book = StudyBook(storage)
    book.add(0, epochs=[{"val_accuracy": 0.9}], outcome=Outcome.PRUNED)
    verdict = make_report(book).sections[0]
    assert verdict.blocks[0] == Words(
        text="No trial is complete yet (1 pruned), so there is nothing to recommend.", kind="lead"
    )
    facts = next(block for block in verdict.blocks if isinstance(block, Facts))
    assert ("trials", "1", "1 pruned") in facts.pairs


def test_a_baseline_alone_is_compared_with_nothing_and_not_to_be_confirmed(storage: str) -> None:
    book = StudyBook(storage)
    book.add(0, epochs=[{"val_accuracy": 0.9}])
    verdict = make_report(book).sections[0]
    text = "Only the baseline was trained: its val_accuracy is 0.9, and there is nothing to compare it with."
    assert verdict.blocks[0] == Words(text=text, kind="lead")
    assert not any(isinstance(block, Code) for block in verdict.blocks), "`study confirm` would refuse"
    facts = next(block for block in verdict.blocks if isinstance(block, Facts))
    assert [name for name, _, _ in facts.pairs] == ["val_accuracy, baseline", "trials", "time"]


def test_what_went_wrong_comes_first_where_every_trial_failed(storage: str) -> None:
    book = StudyBook(storage)
    book.add(0, outcome=Outcome.FAILED, reason="ValueError: no data")
    book.records.set_state(book.row, state=StudyState.STOPPED)
    report = make_report(book)
    assert [section.key for section in report.sections[:2]] == ["verdict", "failures"]
    text = "No trial is complete (1 failed), so there is nothing to recommend."
    assert report.sections[0].blocks[0] == Words(text=text, kind="lead")


def test_the_command_that_goes_on_gives_a_finished_study_a_larger_budget(storage: str) -> None:
    book = StudyBook(storage)
    for number in range(4):
        book.add(number, epochs=[{"val_accuracy": 0.9}])
    book.records.set_state(book.row, state=StudyState.COMPLETE)
    code = next(block for block in _section(make_report(book), "reproduce").blocks if isinstance(block, Code))
    assert code.lines[0] == "autotune study resume digits --trials 8  # goes on with this study"


def test_with_several_objectives_the_verdict_names_the_others_and_the_front(storage: str) -> None:
    objectives = (*MAXIMIZE, Objective(metric="val_loss", direction="minimize"))
    book = StudyBook(storage, spec=make_spec(objectives))
    book.add(0, epochs=[{"val_accuracy": 0.8, "val_loss": 0.2}])
    book.add(1, epochs=[{"val_accuracy": 0.9, "val_loss": 0.3}], parameters={"lr": 0.2})
    text = (
        "This is by the first objective, val_accuracy. With val_loss as well, trials 1, 0 are the search's Pareto "
        "front: choose among them."
    )
    assert Words(text=text) in make_report(book).sections[0].blocks


def test_a_confirmed_winner_is_told_by_its_trainings_on_fresh_seeds(storage: str) -> None:
    book = StudyBook(storage)
    baseline, winner = {"lr": 0.1}, {"lr": 0.2}
    book.add(0, epochs=[{"val_accuracy": 0.5}], parameters=baseline)
    book.add(1, epochs=[{"val_accuracy": 0.9}], parameters=winner)
    spec = make_spec()
    asked = spec.model_copy(update={"confirm": spec.confirm.model_copy(update={"against": 0, "repeats": 5})})
    confirmation = StudyBook(storage, name="digits.confirm", spec=asked)
    for number in range(10):
        parameters, value = (winner, 0.8) if number % 2 else (baseline, 0.5)
        confirmation.add(number, epochs=[{"val_accuracy": value + number / 1000}], parameters=parameters)
    verdict = make_report(book).sections[0]
    assert verdict.data["is_confirmed"] is True
    lead = verdict.blocks[0]
    assert isinstance(lead, Words)
    assert lead.text == "Take trial 1: it is better than the baseline, by more than luck explains."
    table = next(block for block in verdict.blocks if isinstance(block, Table))
    assert table.rows[0][0] == "val_accuracy"
    assert table.rows[0][2] == "better"
    assert not any(isinstance(block, Code) for block in verdict.blocks)
    notes = next(block for block in verdict.blocks if isinstance(block, Facts) and not block.is_large)
    assert [title for title, _, _ in notes.pairs] == ["trainings", "success", "luck", "cost"]


def test_parameters_of_any_size_and_kind_are_weighed(storage: str) -> None:
    book = StudyBook(storage)
    sizes = [1e300, math.inf, 1e-300, -1.0, 0.0, 10**12, 0.5]
    kinds = [None, True, "a", 0.5, 3]
    for number in range(20):
        value = 0.9 if number % 7 < 3 else 0.5
        parameters = {"size": sizes[number % 7], "kind": kinds[number % 5]}
        book.add(number, epochs=[{"val_accuracy": value}], parameters=parameters)
    bars = next(block for block in _section(make_report(book), "parameters").blocks if isinstance(block, Bars))
    assert bars.bars[0].label == "size"


@pytest.mark.parametrize(("rates", "is_drawn"), [((1e-3, 2e-3, 0.5, 0.013), True), ((0.2, 0.013, 0.2, 0.013), False)])
def test_fractions_that_were_drawn_stand_on_a_scale_however_few_they_are(
    storage: str, *, rates: tuple[float, ...], is_drawn: bool
) -> None:
    book = StudyBook(storage)
    for number, rate in enumerate(rates):
        book.add(number, epochs=[{"val_accuracy": 0.5 + number / 10}], parameters={"lr": rate})
    figures = next(block for block in _section(make_report(book), "parameters").blocks if isinstance(block, Figures))
    assert (">0.013<" not in figures.figures[0].svg) == is_drawn, "a place for each value has its label"
