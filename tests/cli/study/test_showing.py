from pathlib import Path

from autotune.cli.study.showing import show_lines
from autotune.events import Outcome
from autotune.recording.places import Places
from autotune.report.dashboards.addresses import Addresses
from autotune.report.page.composing import compose
from autotune.report.page.html import as_html
from autotune.report.summaries.reading import read_study
from autotune.report.summaries.record import read_record
from tests.out_of_memory import NATIVE, NATIVE_IN_SHORT
from tests.report.study_book import StudyBook

NOWHERE = Addresses(dashboard="", mlflow_runs=None, mlflow_compare=None)


def test_memory_that_ran_out_is_told_in_short_and_recorded_whole(tmp_path: Path) -> None:
    storage = f"sqlite:///{tmp_path}/autotune.db"
    book = StudyBook(storage)
    for number in (0, 1):
        book.add(number, outcome=Outcome.INFEASIBLE, reason=f"OutOfMemoryError: {NATIVE}", parameters={"lr": 0.1})
    places = Places(storage=storage, tracking_uri="")
    report = read_study(storage, name="digits")

    shown = "\n".join(show_lines(report, addresses=NOWHERE, places=places))
    page = as_html(compose(read_record(storage, name="digits"), places=places))

    assert f"2x infeasible: OutOfMemoryError: {NATIVE_IN_SHORT}" in shown
    assert NATIVE_IN_SHORT in page
    assert "by PyTorch" not in shown + page
    assert [trial.reason for trial in report.trials] == [f"OutOfMemoryError: {NATIVE}"] * 2
