"""The end of a study: its winner confirmed, its rows delivered, its model logged; each by one coordinator."""

import time

from autotune.coordinator.books import Books
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

_AGAIN_SECONDS = 0.5


def ends_study(books: Books) -> bool:
    """Whether this coordinator ends the study: it alone confirms the winner, and logs its model."""
    is_ended_here = books.records.finish_study(books.study)
    # A study that was complete when it was started again may lack its confirmation.
    return is_ended_here or books.crew is None or books.study.state is StudyState.COMPLETE


def confirm_winner(workplace: Workplace, books: Books, *, standing: Standing) -> bool:
    """Confirm the winner within what is left of the budget's seconds; returns whether it was interrupted."""
    wanted, limit = books.spec.confirm, books.spec.budget.seconds
    if wanted.repeats == 0:
        return False
    left = None if limit is None else limit - standing.elapsed_seconds
    try:
        ended = confirm(workplace, books.study, wanted=wanted, mode="at the end", seconds_left=left)
    except NotConfirmedError as error:
        workplace.observer.note(str(error))
        return False
    except StudyHeldError as error:
        if books.crew is None:
            raise
        workplace.observer.note(f"the winner is being confirmed by another coordinator: {error}")
        return False
    books.records.touch_study(books.study)
    return ended.is_interrupted


def close_books(books: Books, *, places: Places, best_number: int | None, is_last: bool, observer: Observer) -> int:
    """Deliver what waits, and log the winner's model where this coordinator ends the study.

    Returns:
        The number of rows that MLflow has not got.
    """
    state = books.publisher.close(timeout=PUBLISH_SECONDS)
    if is_last and state.num_waiting and books.crew is not None:
        state = _deliver_rest(books, state, places=places)
    if state.num_waiting and not is_last and books.crew is not None and books.crew.others():
        observer.note(f"MLflow gets the last {state.num_waiting} records from another coordinator of the study")
    elif state.num_waiting:
        observer.note(
            f"MLflow has not got {state.num_waiting} records yet ({state.error}); the next start delivers them"
        )
    elif is_last and best_number is not None and books.spec.log_model:
        observer.note(f"logging the model of trial {best_number} to MLflow")
        problem = log_model(
            places.storage, study=books.study.name, number=best_number, tracking_uri=places.tracking_uri
        )
        if problem is not None:
            observer.note(problem)
    return state.num_waiting


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
