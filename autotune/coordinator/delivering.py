"""The last delivery of records to MLflow: it is waited for as long as that is worth it, and a signal ends the wait."""

from collections.abc import Callable
from typing import TypeVar

from autotune.coordinator.interrupts import Interrupts
from autotune.coordinator.paces import PUBLISH_SECONDS
from autotune.recording.mlflow.publisher import Publisher, PublishState

Done = TypeVar("Done")


def deliver_last(
    publisher: Publisher, *, interrupts: Interrupts, note: Callable[[str], None], remedy: str
) -> PublishState | None:
    """Deliver what waits, for at most ``PUBLISH_SECONDS``, and tell of what MLflow has not got then.

    Args:
        publisher: Of the study whose records wait.
        interrupts: A signal ends the waiting.
        note: Told one line where records are left.
        remedy: What delivers those, as the end of that line.

    Returns:
        What is left, and why; None where a signal ended it.
    """

    def deliver() -> PublishState:
        state = publisher.close(timeout=PUBLISH_SECONDS)
        if state.num_waiting:
            note(late_line(state, remedy=remedy))
        return state

    return unless_stopped(deliver, publisher=publisher, interrupts=interrupts, note=note, remedy=remedy)


class FirstOutage:
    """Tells once, soon after a start, that MLflow takes nothing: its address may be mistyped.

    A study survives outages, and tells of those that come later at its end, if they last until then.
    """

    def __init__(self) -> None:
        self._is_told = False

    def look(self, publisher: Publisher, *, note: Callable[[str], None]) -> None:
        """Tell if there is something to tell; reads what the publisher's thread has found, and waits for nothing."""
        problem = publisher.first_problem
        if problem is not None and not self._is_told:
            self._is_told = True
            remedy = (
                "training goes on, and records wait until it answers, or until a start names another --tracking-uri"
            )
            note(f"{problem}; {remedy}")


def late_line(state: PublishState, *, remedy: str) -> str:
    """What MLflow has not got yet, why, and what delivers it."""
    return f"MLflow has not got {state.num_waiting} records yet ({state.error}); {remedy}"


def unless_stopped(
    do: Callable[[], Done], *, publisher: Publisher, interrupts: Interrupts, note: Callable[[str], None], remedy: str
) -> Done | None:
    """The result of ``do``, in which nothing must be finished; None where a signal ended it, or one that came before.

    One line tells of records that MLflow has not got then; the arguments are those of ``deliver_last``.
    """
    try:
        with interrupts.raising():
            return do()
    except KeyboardInterrupt:
        num_waiting = publisher.close(timeout=0.0).num_waiting
        if num_waiting:
            note(f"stopped before MLflow had the last {num_waiting} records; {remedy}")
    return None
