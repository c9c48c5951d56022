from collections.abc import Iterator
from pathlib import Path

import pytest

from autotune.errors import RunError
from autotune.events import Finished, Outcome
from autotune.report.watching.logs import FoundLog, find_log, read_log
from tests.report.study_book import StudyBook


@pytest.fixture
def book(tmp_path: Path) -> StudyBook:
    book = StudyBook(f"sqlite:///{tmp_path / 'autotune.db'}")
    book.add(0, epochs=[{"val_accuracy": 0.7}])
    book.add(1, outcome=None)
    return book


@pytest.fixture
def running(book: StudyBook) -> Iterator[FoundLog]:
    log = find_log(book.storage, name="digits", number=1)
    log.path.parent.mkdir(parents=True)
    yield log
    log.close()


def _end(book: StudyBook) -> None:
    trial = book.records.trial(book.row, number=1)
    book.records.finish_trial(trial, finished=Finished(outcome=Outcome.FAILED, reason="x"), values=None)


def test_last_lines_are_printed_where_they_are_asked_for(running: FoundLog) -> None:
    running.path.write_text("one\ntwo\nthree\n")
    assert "".join(read_log(running)) == "one\ntwo\nthree\n"
    assert "".join(read_log(running, num_lines=2)) == "two\nthree\n"


def test_followed_log_is_printed_until_the_trial_ends(book: StudyBook, running: FoundLog) -> None:
    running.path.write_text("one\n")
    texts = read_log(running, should_follow=True)
    assert next(texts) == "one\n"
    running.path.write_text("one\ntwo\n")
    assert next(texts) == "two\n"
    running.path.write_text("one\ntwo\nlast words\n")
    _end(book)
    assert list(texts) == ["last words\n"]


def test_log_whose_middle_was_cut_out_goes_on_behind_what_was_printed(book: StudyBook, running: FoundLog) -> None:
    running.path.write_text("first\nmiddle\nrecent\n")
    texts = read_log(running, num_lines=1, should_follow=True)
    assert next(texts) == "recent\n"
    running.path.write_text("first\n[... left out ...]\nfirst\nmiddle\nrecent\nnew\n")
    _end(book)
    assert list(texts) == ["new\n"]


def test_log_that_is_not_here_says_where_its_trial_trained(book: StudyBook) -> None:
    with pytest.raises(RunError, match=r"got no file .*trial-00000/trial.log; digits/0 trained on no machine"):
        find_log(book.storage, name="digits", number=0)
