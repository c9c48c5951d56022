from pathlib import Path

import pytest
from sqlalchemy import update
from typing_extensions import override

from autotune.cli.display.plain import PlainDisplay
from autotune.coordinator.observer import StudyView
from autotune.errors import StudyNotFoundError
from autotune.events import Finished, Outcome, Started
from autotune.recording import tables, transactions
from autotune.recording.lease import StudyLease
from autotune.recording.rows import Activity, StudyState
from autotune.recording.starts import announced_start, is_being_started
from autotune.report.watching import following
from autotune.report.watching.following import Follower, await_study
from tests.report.study_book import StudyBook
from tests.reports import make_report


@pytest.fixture
def book(tmp_path: Path) -> StudyBook:
    return StudyBook(f"sqlite:///{tmp_path / 'autotune.db'}")


def _follower(book: StudyBook) -> Follower:
    return Follower(book.storage, name="digits", observer=PlainDisplay())


def _told(capsys: pytest.CaptureFixture[str]) -> list[str]:
    """What the display said since the last time, without the study's time."""
    return [line[9:] for line in capsys.readouterr().err.splitlines()]


def test_watcher_hears_of_trials_as_their_coordinator_tells_it(
    book: StudyBook, capsys: pytest.CaptureFixture[str]
) -> None:
    book.add(0, epochs=[{"val_accuracy": 0.7}])
    follower = _follower(book)
    follower.begin()
    assert _told(capsys) == ["study digits: maximize val_accuracy, at most 4 trials or 1:00; 1 trial so far"]
    book.add(1, outcome=None, epochs=[{"val_accuracy": 0.5}])
    trial = book.records.trial(book.row, number=1)
    book.records.start_trial(trial, started=Started(in_force={}, device="cpu", setup_seconds=0.125))
    follower.look()
    assert _told(capsys) == [
        "no coordinator runs it now; `autotune study resume digits` goes on",
        "trial 1 starts on cpu: lr 0.1",
        "trial 1 trains after 0.125 s",
        "trial 1 epoch 1/2: val_accuracy 0.5, 250 samples/s, data wait 25%",
    ]
    follower.look()
    assert _told(capsys) == []
    book.records.finish_trial(trial, finished=Finished(outcome=Outcome.PRUNED, reason="median: too low"), values=None)
    follower.look()
    assert _told(capsys) == ["trial 1 pruned, val_accuracy 0.5: median: too low (best 0.7, trial 0)"]
    follower.close()


def test_trial_that_came_and_went_between_two_looks_is_told(
    book: StudyBook, capsys: pytest.CaptureFixture[str]
) -> None:
    follower = _follower(book)
    follower.begin()
    book.add(0, epochs=[{"val_accuracy": 0.7}, {"val_accuracy": 0.8}])
    follower.look()
    told = _told(capsys)
    assert told[2] == "trial 0, the baseline, starts on cpu: lr 0.1"
    assert told[-1] == "trial 0 complete, val_accuracy 0.8 (best 0.8, trial 0)"
    follower.close()


def test_watching_ends_when_the_study_does_and_nobody_runs_it(book: StudyBook) -> None:
    follower = _follower(book)
    follower.begin()
    lease = StudyLease.acquire(book.records, study=book.row)
    assert follower.look()
    book.records.set_state(book.row, state=StudyState.COMPLETE)
    assert follower.look(), "the coordinator still logs the model"
    lease.release()
    assert not follower.look()
    follower.close()


def test_watcher_says_who_runs_the_study(book: StudyBook, capsys: pytest.CaptureFixture[str]) -> None:
    follower = _follower(book)
    follower.begin()
    lease = StudyLease.acquire(book.records, study=book.row)
    follower.look()
    assert "runs it since" in _told(capsys)[-1]
    lease.release()
    follower.look()
    assert _told(capsys) == ["no coordinator runs it now; `autotune study resume digits` goes on"]
    follower.close()


def test_watcher_is_told_once_that_the_winner_is_being_confirmed(
    book: StudyBook, capsys: pytest.CaptureFixture[str]
) -> None:
    follower = _follower(book)
    follower.begin()
    lease = StudyLease.acquire(book.records, study=book.row)
    follower.look()
    _told(capsys)
    StudyBook(book.storage, name="digits.confirm")
    follower.look()
    follower.look()
    assert _told(capsys) == ["its winner is being confirmed: `autotune study watch digits.confirm` shows it"]
    lease.release()
    follower.close()


def test_study_that_is_not_there_is_named(book: StudyBook) -> None:
    follower = Follower(book.storage, name="digit", observer=PlainDisplay())
    with pytest.raises(StudyNotFoundError, match="did you mean digits"):
        follower.begin()
    follower.close()


def test_watcher_hears_how_a_race_goes_while_its_coordinator_lives(
    book: StudyBook, capsys: pytest.CaptureFixture[str]
) -> None:
    lease = StudyLease.acquire(book.records, study=book.row)
    views: list[StudyView] = []

    class Watching(PlainDisplay):
        @override
        def ticked(self, study: StudyView) -> None:
            views.append(study)

    follower = Follower(book.storage, name="digits", observer=Watching())
    follower.begin()
    follower.look()
    book.records.set_seconds(book.row, seconds=20.0)
    lease.tell(Activity("race: batch_size 64, up to 12 s", trial_seconds=15.0, ends_at=27.0))
    follower.look()
    lease.tell(Activity("race: launch-bound", trial_seconds=15.0, ends_at=27.0))
    follower.look()
    follower.look()
    lease.tell(None)
    follower.look()
    assert [line for line in _told(capsys) if line.startswith("race")] == [
        "race: batch_size 64, up to 12 s",
        "race: launch-bound",
    ]
    assert [view.race_ends_at for view in views] == [None, 27.0, 27.0, 27.0, None]
    assert [view.trial_seconds for view in views[1:4]] == [15.0, 15.0, 15.0]
    assert all(view.is_run for view in views)
    lease.tell(Activity("race: batch_size 64, up to 12 s", trial_seconds=15.0, ends_at=27.0))
    lease.release()
    follower.look()
    assert not views[-1].is_racing
    assert not views[-1].is_run, "whoever ran it has gone"
    follower.close()


def test_watcher_waits_for_a_study_that_is_about_to_be_stored(tmp_path: Path) -> None:
    storage, told = f"sqlite:///{tmp_path / 'autotune.db'}", list[str]()

    def store(line: str) -> None:
        told.append(line)
        StudyBook(storage)

    await_study(storage, name="digits", seconds=50, note=store)
    assert told == ["study digits: not there yet; waits up to 50 s for its start"]
    with pytest.raises(StudyNotFoundError, match="letters"):
        await_study(storage, name="letters", seconds=0, note=told.append)
    assert len(told) == 1


def test_watcher_of_a_study_that_may_be_misspelt_hears_at_once_which_there_are(book: StudyBook) -> None:
    told = list[str]()
    with pytest.raises(StudyNotFoundError):
        await_study(book.storage, name="letters", seconds=0.01, note=told.append)
    assert told == ["study letters: no such study here; there is digits; waits up to 0.01 s for its start"]


@pytest.mark.parametrize("state", [StudyState.COMPLETE, StudyState.STOPPED])
def test_watcher_waits_for_a_study_that_is_about_to_go_on(book: StudyBook, state: StudyState) -> None:
    book.records.set_state(book.row, state=state)
    told = list[str]()
    leases = list[StudyLease]()

    def start_again(line: str) -> None:
        told.append(line)
        leases.append(StudyLease.acquire(book.records, study=book.row))

    await_study(book.storage, name="digits", seconds=50, note=start_again)
    assert told == [f"study digits: {state.value} already; waits up to 50 s for its start"]
    await_study(book.storage, name="digits", seconds=50, note=told.append)
    leases[0].release()
    await_study(book.storage, name="digits", seconds=0, note=told.append)
    assert len(told) == 1, "neither while it is run, nor where nothing is to be waited for"


def test_watcher_of_a_study_that_is_over_hears_so_at_once_and_stays_for_a_start_alone(
    book: StudyBook, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(following, "_ANNOUNCED_SECONDS", 0.5)
    book.records.set_state(book.row, state=StudyState.COMPLETE)
    told, leases = list[str](), list[StudyLease]()
    await_study(book.storage, name="digits", seconds=None, note=told.append)
    assert told == ["study digits: complete already; waits up to 0.5 s for its start"]
    with announced_start(book.storage, name="digits"):

        def start(line: str) -> None:
            told.append(line)
            leases.append(StudyLease.acquire(book.records, study=book.row))

        await_study(book.storage, name="digits", seconds=None, note=start)
        assert told[1:] == ["study digits: is being started again; waits up to 15 s for its start"]
    leases[0].release()
    await_study(book.storage, name="digits", seconds=None, note=told.append)
    assert told[2:] == told[:1], "a start that gave up is over"


def test_start_that_died_before_it_ran_anything_is_waited_for_no_more(book: StudyBook) -> None:
    with announced_start(book.storage, name="digits"):
        assert is_being_started(book.records.engine, study=book.row)
        with transactions.write(book.records.engine) as connection:
            connection.execute(update(tables.lease).values(birth="gone"))
        assert not is_being_started(book.records.engine, study=book.row)
        with announced_start(book.storage, name="digits"):
            assert is_being_started(book.records.engine, study=book.row)


def test_start_of_a_study_that_is_not_stored_announces_nothing(tmp_path: Path) -> None:
    storage = f"sqlite:///{tmp_path / 'autotune.db'}"
    with announced_start(storage, name="digits"):
        assert list(tmp_path.iterdir()) == []
        StudyBook(storage)


def test_watcher_of_an_open_study_does_not_wait_for_a_start(book: StudyBook) -> None:
    told = list[str]()
    await_study(book.storage, name="digits", seconds=50, note=told.append)
    assert told == []


@pytest.mark.parametrize("suffix", ["confirm", "ablation"])
def test_watcher_of_repeated_trainings_hears_what_each_repeats(
    book: StudyBook, suffix: str, capsys: pytest.CaptureFixture[str]
) -> None:
    changed = {"lr": 0.2, "width": 8}
    book.add(0, epochs=[{"val_accuracy": 0.5}], parameters={"lr": 0.1, "width": 4})
    book.add(1, epochs=[{"val_accuracy": 0.7}], parameters=changed)
    repeated = StudyBook(book.storage, name=f"digits.{suffix}")
    repeated.add(0, epochs=[{"val_accuracy": 0.6}], parameters={"lr": 0.1, "width": 4})
    follower = Follower(book.storage, name=f"digits.{suffix}", observer=PlainDisplay())
    follower.begin()
    repeated.add(1, epochs=[{"val_accuracy": 0.7}], parameters=changed)
    follower.look()
    told = _told(capsys)
    assert told[0] == f"study digits.{suffix}: val_accuracy of the baseline; 1 of 4 trainings so far"
    assert "training 1 (trial 1) starts on cpu: lr 0.2 · width 8" in told
    assert told[-1] == "training 1 complete, val_accuracy 0.7 (means: the baseline 0.6, trial 1 0.7)"
    follower.close()


def test_watcher_hears_of_both_trainings_of_a_trial_that_fell_back(
    book: StudyBook, capsys: pytest.CaptureFixture[str]
) -> None:
    """Nothing was told of the second one until it was beyond the last epoch of the first."""
    follower = _follower(book)
    follower.begin()
    book.add(0, outcome=None, epochs=[{"val_accuracy": 0.5}, {"val_accuracy": 0.6}])
    follower.look()
    trial = book.records.trial(book.row, number=0)
    book.records.fall_back(trial, parameters=trial.parameters, reason="unsupported")
    follower.look()
    _told(capsys)
    book.records.add_report(trial, report=make_report(1, metrics={"val_accuracy": 0.4}))
    follower.look()
    assert [line.partition(",")[0] for line in _told(capsys)] == ["trial 0 epoch 1/2: val_accuracy 0.4"]
    follower.close()
