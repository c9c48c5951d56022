"""What trials of a session say: recorded in the ledger, then told to the observer."""

from collections.abc import Callable, Iterator, Sequence
from itertools import groupby

from autotune.coordinator.ledger import Ledger
from autotune.coordinator.observer import Observer
from autotune.coordinator.running import Running, RunningTrials
from autotune.coordinator.tickets import Ticket
from autotune.events import (
    Adjusted,
    EpochReport,
    Event,
    Finished,
    Go,
    OnStandby,
    Outcome,
    Progress,
    Started,
    Stop,
    Unsaved,
)
from autotune.trial.launcher import Arrival, Exited


class Hearing:
    """Hears the trials that run, in the order in which they speak.

    Args:
        running: The trials; what came from another process is passed over.
        ledger: Records what they say.
        observer: Is told of it afterwards.
        clock: The session's, in seconds.
    """

    def __init__(
        self, running: RunningTrials, *, ledger: Ledger, observer: Observer, clock: Callable[[], float]
    ) -> None:
        self._running = running
        self._ledger = ledger
        self._observer = observer
        self._clock = clock

    def hear(self, arrivals: Sequence[Arrival]) -> Iterator[tuple[Running, Exited]]:
        """Record and tell what has arrived; yields each trial whose process is gone, before it hears what came later.

        Reports that have come together are recorded together: each transaction waits for the disk.
        """
        for is_report, group in groupby(arrivals, key=lambda arrival: isinstance(arrival.event, EpochReport)):
            if is_report:
                self._hear_reports(list(group))
                continue
            for arrival in group:
                running = self._running.sender(arrival)
                if running is None:
                    continue
                running.pulse.heard(self._clock())
                if isinstance(arrival.event, Exited):
                    yield running, arrival.event
                else:
                    self._hear_one(running, arrival.event)

    def _hear_one(self, running: Running, event: Event) -> None:
        number = running.process.number
        match event:
            case Started():
                running.setup_seconds = event.setup_seconds
                running.epochs_before = event.epochs_done
                self._ledger.record_start(running.ticket, event)
                self._observer.trial_started(number, event)
            case Adjusted():
                self._ledger.record_adjustment(running.ticket, event)
                self._observer.note(f"trial {number}: {event.reason}")
            case Unsaved():
                self._ledger.record_checkpoint_problem(running.ticket, event)
                self._observer.note(f"trial {number}: {event.in_words}")
            case Progress():
                running.pulse.has_progressed = True
                self._observer.trial_progressed(number, event)
            case Finished():
                running.finished = event
            case OnStandby():
                pass  # its turn came before it waited
            case EpochReport() | Go() | Stop():
                raise AssertionError(f"reports are heard together, and nothing else is sent, got {event}")

    def _hear_reports(self, arrivals: Sequence[Arrival]) -> None:
        """Reports of one or several trials; of one trial, in the order in which it sent them."""
        heard: list[tuple[Ticket, EpochReport]] = []
        for arrival in arrivals:
            running = self._running.sender(arrival)
            if running is not None and isinstance(arrival.event, EpochReport):
                running.pulse.heard(self._clock())
                running.pulse.has_reported |= arrival.event.epoch > running.epochs_before
                heard.append((running.ticket, arrival.event))
        for answer in self._ledger.record_reports(heard) if heard else ():
            number = answer.ticket.row.number
            study = self._ledger.standing.view(num_running=len(self._running))
            self._observer.trial_reported(number, answer.report, study)
            if answer.reason_to_stop is not None:
                stop = Stop(outcome=Outcome.PRUNED, reason=answer.reason_to_stop)
                self._running.stop(self._running.of_number(number), stop)
