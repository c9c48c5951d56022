"""A study with everything that a report tells of, written by hand; some of its texts try to break a page."""

from autotune.events import Outcome
from autotune.recording.places import Places
from autotune.report.page.composing import Report, compose
from autotune.report.summaries.record import read_record
from autotune.report.text.places import DEFAULT_STORAGE, DEFAULT_TRACKING_URI
from tests.report.study_book import StudyBook

PLACES = Places(storage=DEFAULT_STORAGE, tracking_uri=DEFAULT_TRACKING_URI)
ATTACK = "<script>alert(1)</script><img src=x onerror=alert(2)>\"'&`|"
METRIC = "val_accuracy"


def write_study(storage: str, *, name: str = "digits") -> StudyBook:
    """Twelve complete trials that a width explains, two pruned, three failed alike, one diverged."""
    book = StudyBook(storage, name=name)
    for number in range(12):
        value = 0.5 + 0.04 * (number % 6)
        curve = [{METRIC: value - 0.1}, {METRIC: value}]
        book.add(number, epochs=curve, parameters={"width": number % 6, "lr": 0.1 * (number + 1), ATTACK: ATTACK})
    for number in (12, 13):
        book.add(number, outcome=Outcome.PRUNED, epochs=[{METRIC: 0.1}], parameters={"width": 0, "lr": 0.5})
    for number in (14, 15, 16):
        reason = f"ValueError: {ATTACK} in trial {number}"
        parameters = {"width": 1, "lr": 0.1}
        book.add(number, outcome=Outcome.FAILED, reason=reason, traceback=reason, parameters=parameters)
    book.add(17, outcome=Outcome.DIVERGED, reason="train_loss is nan", parameters={"width": 1, "lr": 9.0})
    return book


def make_report(book: StudyBook) -> Report:
    return compose(read_record(book.storage, name=book.row.name), places=PLACES)
