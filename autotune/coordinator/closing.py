"""The end of a study: its winner confirmed, its rows delivered, its model logged; each by one coordinator."""

import time

from autotune.coordinator.books import Books
from autotune.coordinator.delivering import late_line, unless_stopped
from autotune.coordinator.interrupts import Interrupts
from autotune.coordinator.observer import Observer
from autotune.coordinator.paces import PUBLISH_SECONDS
from autotune.coordinator.retraining.confirming import confirm
from autotune.coordinator.retraining.contenders import NotConfirmedError
from autotune.coordinator.standing import Standing
from autotune.coordinator.workplace import Workplace
from autotune.errors import StudyHeldError
from autotune.recording.mlflow.log_model import log_model
from autotune.recording.mlflow.publisher import Publisher, PublishState
from autotune.recording.places import Places
from autotune.recording.rows import StudyState

NEXT_START = "the next start delivers them"
"""What delivers records of a study that MLflow has not got at its end."""
_AGAIN_SECONDS = 0.5


def ends_study(books: Books) -> bool:
    """Whether this coordinator ends the study: it alone confirms the winner, and logs its model."""
    is_ended_here = books.records.finish_study(books.study)
    # A study that was complete when it was started again may lack its confirmation.
    return is_ended_here or books.crew is None or books.study.state is StudyState.COMPLETE


def confirm_winner(workplace: Workplace, books: Books, *, standing: Standing) -> None:
    """Confirm the winner within what is left of the budget's seconds."""
    wanted, limit = books.spec.confirm, books.spec.budget.seconds
    if wanted.repeats == 0:
        return
    left = None if limit is None else limit - standing.elapsed_seconds
    try:
        confirm(workplace, books.study, wanted=wanted, mode="at the end", seconds_left=left)
    except NotConfirmedError as error:
        workplace.observer.note(str(error))
        return
    except StudyHeldError as error:
        if books.crew is None:
            raise
        workplace.observer.note(f"the winner is being confirmed by another coordinator: {error}")
        return
    books.records.touch_study(books.study)


def close_books(
    books: Books,
    *,
    places: Places,
    best_number: int | None,
    is_last: bool,
    interrupts: Interrupts,
    observer: Observer,
) -> None:
    """Deliver what waits, and log the winner's model where this coordinator ends the study.

    Nothing is left that must be finished: a signal ends the waiting, of which one line tells. Where one has come
    before, what waits is delivered, and no model is logged.
    """
    number = best_number if is_last and books.spec.log_model else None

    def close() -> bool:
        """Returns whether nothing is left that was not told of."""
        is_delivered = _deliver(books, places=places, is_last=is_last, observer=observer)
        if not is_delivered or number is None:
            return True
        if interrupts.should_stop:
            return False
        _log_model(books, places=places, number=number, observer=observer)
        return True

    is_closed = unless_stopped(
        close, publisher=books.publisher, interrupts=interrupts, note=observer.note, remedy=NEXT_START
    )
    if number is not None and not is_closed:
        observer.note(
            f"stopped before the model of trial {number} was logged to MLflow; "
            f"`autotune study resume {books.study.name}` logs it"
        )


def _deliver(books: Books, *, places: Places, is_last: bool, observer: Observer) -> bool:
    """Deliver what waits; returns whether MLflow has all of it, and tells where it has not."""
    state = books.publisher.close(timeout=PUBLISH_SECONDS)
    if is_last and state.num_waiting and books.crew is not None:
        state = _deliver_rest(books, state, places=places)
    if not state.num_waiting:
        return True
    if not is_last and books.crew is not None and books.crew.others():
        observer.note(f"MLflow gets the last {state.num_waiting} records from another coordinator of the study")
    else:
        observer.note(late_line(state, remedy=NEXT_START))
    return False


def _log_model(books: Books, *, places: Places, number: int, observer: Observer) -> None:
    """Log the trial's model, which takes a process with torch and MLflow some seconds; Ctrl-C ends that process."""
    observer.note(f"all results are recorded; logging the model of trial {number} to MLflow (Ctrl-C leaves it out)")
    problem = log_model(places.storage, study=books.study.name, number=number, tracking_uri=places.tracking_uri)
    if problem is not None:
        observer.note(problem)


def _deliver_rest(books: Books, state: PublishState, *, places: Places) -> PublishState:
    """Deliver again what another coordinator may have missed that was delivering and ending at the same time."""
    assert books.crew is not None
    until = time.monotonic() + PUBLISH_SECONDS
    may_be_held = True
    while state.num_waiting and may_be_held and time.monotonic() < until:
        may_be_held = bool(books.crew.others())
        time.sleep(_AGAIN_SECONDS)
        books.lease.beat()
        publisher = Publisher(places.storage, study=books.study.name, tracking_uri=places.tracking_uri)
        publisher.start()
        state = publisher.close(timeout=max(0.0, until - time.monotonic()))
    return state
