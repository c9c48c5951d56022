"""The loop of a running study: fill the leases, hear the trials, keep the clock."""

import math
import time
from collections.abc import Callable
from dataclasses import replace

from autotune.coordinator.aftermath import End, Fallback, Restart, Wait, decide_aftermath
from autotune.coordinator.crowds import Crowds, give_up_waiting
from autotune.coordinator.exits import Exits
from autotune.coordinator.hearing import Hearing
from autotune.coordinator.interrupts import Interrupts
from autotune.coordinator.ledger import Ledger
from autotune.coordinator.long_baseline import HostLoad, describe_long_baseline
from autotune.coordinator.observer import Observer, StudyView
from autotune.coordinator.paces import GRACE_SECONDS, TICK_SECONDS
from autotune.coordinator.running import Running, RunningTrials, Trials
from autotune.coordinator.speeds import Floor, RaceEndedError
from autotune.coordinator.standby import Standby
from autotune.coordinator.tickets import Ticket
from autotune.errors import StudyStoppedError
from autotune.events import Finished, Outcome, Stop
from autotune.spec.model import Deadlines
from autotune.trial.launcher import Exited
from autotune.trial.leases import DevicePool, Lease

BEAT_SECONDS = 2.0
"""Seconds between two signs of life in the lease; one small write each."""
_DEAF_SECONDS = 5.0
"""After a pause of this length in the session's own loop no trial is called silent: it may have spoken meanwhile."""
MAX_REFUSED = 50
"""Proposals in a row that are not launched since they would run out of memory."""


class Session:
    """One start of a study, from its first launch to its last trial's end.

    Args:
        ledger: Hands out trials, and records what becomes of them.
        launcher: Starts their processes, and hears them.
        pool: The devices and cores that trials get.
        observer: Is told of everything, once it is recorded.
        interrupts: Whether a person wants it to stop.
        deadlines: After which trials are ended that hang.
        grace_seconds: How long trials have to write their checkpoints after the first interrupt.
        on_beat: Called after each sign of life in the lease.
    """

    def __init__(
        self,
        *,
        ledger: Ledger,
        launcher: Trials,
        pool: DevicePool,
        observer: Observer,
        interrupts: Interrupts,
        deadlines: Deadlines,
        grace_seconds: float = GRACE_SECONDS,
        on_beat: Callable[[], None] = lambda: None,
    ) -> None:
        self._ledger = ledger
        self._launcher = launcher
        self._pool = pool
        self._observer = observer
        self._interrupts = interrupts
        self._deadlines = deadlines
        self._grace_seconds = grace_seconds
        self._on_beat = on_beat
        self._exits = Exits()
        self._crowds = Crowds()
        self._running = RunningTrials(launcher)
        self._standby = Standby(launcher, ledger=ledger, pool=pool)
        self._hearing = Hearing(self._running, ledger=ledger, observer=observer, clock=self._now)
        self._is_exhausted = False
        self._is_hopeless = False
        self._num_refused = 0
        self._stopping_since: float | None = None
        self._beaten_at = -math.inf
        self._listened_at = -math.inf

    def run(self) -> bool:
        """Train until the budget is used up; true if it is, false after an interrupt.

        Raises:
            StudyStoppedError: the first trials all failed alike.
            LeaseLostError: another coordinator has the study now.
            ForkServerError: trials can't be started any more.
        """
        waiting = self._ledger.unfinished()
        try:
            self._train(waiting)
        finally:
            self._standby.drop()
        self._beat()
        if self._interrupts.should_stop:
            return False
        waiting += self._crowds.give_back()
        # They ran in earlier starts, or wait for memory, and there is no time left to go on with them.
        for ticket in self._ledger.take_left_over(waiting) if self._ledger.standing.is_time_up else waiting:
            self._conclude(ticket, Finished(outcome=Outcome.PRUNED, reason=self._ledger.time_up_reason()))
        return True

    def _train(self, waiting: list[Ticket]) -> None:
        """Launch and hear trials until none runs and none is to come."""
        while True:
            self._fill(waiting)
            if not self._running and (self._should_end() or not self._is_awaiting()):
                return
            arrivals = self._launcher.wait(TICK_SECONDS)
            self._listened_at = self._now()
            for running, exited in self._hearing.hear(self._standby.hear(arrivals)):
                self._end(running, exited)
            self._look_ahead(waiting, is_idle=not arrivals)
            self._keep_time()
            self._observer.ticked(self._view())

    def _look_ahead(self, waiting: list[Ticket], *, is_idle: bool) -> None:
        """Do what can be done of the next trial while others train; with ``is_idle`` nothing else is to be done."""
        if self._should_end():
            self._standby.drop()
            return
        if self._is_exhausted:
            return
        if is_idle:
            self._ledger.ask_ahead()
        if (running := self._running.lone) is not None and not waiting:
            self._standby.prepare(running)

    def _is_awaiting(self) -> bool:
        """Whether a trial may come to be launched here, though none runs."""
        return not self._crowds.is_empty or self._ledger.awaits_others()

    def _fill(self, waiting: list[Ticket]) -> None:
        """Launch trials on all leases that are free: those that wait, then new ones."""
        self._launch_crowded()
        while self._may_launch_more(waiting) and (lease := self._free_lease()) is not None:
            ticket = self._next_ticket(waiting, lease=lease)
            if ticket is not None and ticket.refusal is None and not self._should_end():
                self._num_refused = 0
                self._launch(ticket, lease=lease)
                continue
            self._pool.release(lease)
            if ticket is not None:
                self._put_off(ticket, waiting, lease=lease)

    def _may_launch_more(self, waiting: list[Ticket]) -> bool:
        """Whether there may be a trial to launch, if a lease is free."""
        has_more = bool(waiting) or not self._is_exhausted
        return has_more and not self._should_end() and not self._crowds.is_full

    def _free_lease(self) -> Lease | None:
        """A lease on a device that no trial has to itself, and that is kept free for none."""
        return self._pool.acquire(but=self._running.places_of_one | self._crowds.kept_free(now=self._now()))

    def _next_ticket(self, waiting: list[Ticket], *, lease: Lease) -> Ticket | None:
        """The first trial that waits, else a new one; None where there is neither. Either may run a race before."""
        floor = Floor(lease, is_alone=not self._running, clear=self._standby.drop, on_wait=self._wait_for_race)
        if waiting:
            return self._ledger.take_up(waiting.pop(0), floor=floor)
        ticket = self._ledger.ask(floor)
        self._is_exhausted = ticket is None
        return ticket

    def _put_off(self, ticket: Ticket, waiting: list[Ticket], *, lease: Lease) -> None:
        """A trial is not launched: it never fits, or not now, or the study came to its end while a race ran."""
        refusal = ticket.refusal
        if refusal is None:  # it is queued, and starts with the next start
            waiting.append(ticket)
        elif refusal.is_crowded:
            crowded = Finished(outcome=Outcome.INTERRUPTED, reason=refusal.reason)
            self._wait_for_memory(ticket, crowded, lease=lease, has_company=bool(self._running.on(lease.place)))
        else:
            self._refuse(ticket, reason=refusal.reason)

    def _launch_crowded(self) -> None:
        """Launch trials that waited for memory, each on a device that no other trial of the study is on."""
        while not self._should_end():
            found = self._crowds.next(taken=self._running.places, now=self._now())
            if found is None:
                return
            ticket, place = found
            lease = self._pool.acquire(place=place)
            assert lease is not None, "no trial is on that device"
            self._launch(ticket, lease=lease, is_alone=True)

    def _refuse(self, ticket: Ticket, *, reason: str) -> None:
        """Record a trial that is not launched; end the search when nothing else is proposed."""
        self._conclude(ticket, Finished(outcome=Outcome.INFEASIBLE, reason=reason))
        self._keep_time()
        self._num_refused += 1
        if self._num_refused >= MAX_REFUSED:
            self._observer.note(f"{MAX_REFUSED} proposals in a row were predicted not to fit: none is left to try")
            self._is_exhausted = self._is_hopeless = True

    @property
    def _is_stopping(self) -> bool:
        """A person has asked the study to stop, and its trials were told."""
        return self._stopping_since is not None

    def _should_end(self) -> bool:
        """No trial is launched any more."""
        return self._interrupts.should_stop or self._ledger.standing.is_time_up

    def _wait_for_race(self, ends_at: float) -> None:
        """Keep the lease and the display alive while a race runs, and end it with the study."""
        if self._now() - self._beaten_at >= BEAT_SECONDS:
            self._beat()
        self._observer.ticked(replace(self._view(), race_ends_at=ends_at))
        if self._should_end():
            raise RaceEndedError("the study stops")

    def _launch(self, ticket: Ticket, *, lease: Lease, is_alone: bool = False) -> None:
        """Start a process of the trial; with ``is_alone`` nothing else is started on its device meanwhile."""
        process = self._standby.launch(self._ledger.order(ticket, lease=lease))
        self._running.add(ticket, process, lease=lease, is_alone=is_alone, now=self._now())
        self._ledger.record_launch(ticket, pid=process.pid, device=lease.device)
        self._observer.trial_launched(self._ledger.trial_view(ticket, device=lease.device), self._view())

    def _end(self, running: Running, exited: Exited) -> None:
        """A process is gone: explain its end, and do what follows for its trial."""
        self._running.remove(running)
        self._pool.release(running.lease)
        finished = self._exits.explain(
            exited,
            last_word=running.finished,
            stop=running.stop,
            overdue=running.overdue,
            restarts=running.ticket.restarts,
            has_company=running.has_company,
        )
        ticket, fallback = running.ticket, self._ledger.fallback(running.ticket, finished)
        match decide_aftermath(finished, restarts=ticket.restarts, fallback=fallback, is_stopping=self._is_stopping):
            case Wait():
                ticket = replace(ticket, is_adopted=True)
                self._wait_for_memory(ticket, finished, lease=running.lease, has_company=running.has_company)
            case Restart():
                line = f"{finished.reason}; it starts again from its last checkpoint"
                self._launch_again(self._ledger.record_restart(ticket), line, former=running)
            case Fallback(parameters):
                ticket = self._ledger.record_fallback(ticket, finished, parameters=parameters)
                line = f"with a race's speed parameters it is infeasible: {finished.reason}"
                self._launch_again(ticket, f"{line}; it starts with the baseline's", former=running)
            case End(finished):
                self._conclude(ticket, finished)
                self._draw_conclusions(running, finished)

    def _conclude(self, ticket: Ticket, finished: Finished) -> None:
        """Record how a trial ended, or that it was interrupted, and tell it."""
        finished = self._ledger.record_end(ticket, finished)
        self._observer.trial_ended(ticket.row.number, finished, self._view())

    def _draw_conclusions(self, running: Running, finished: Finished) -> None:
        """Say what the end of a trial tells of the study: that its baseline takes too long, or its task is broken."""
        trial = self._ledger.trial_view(running.ticket, device=running.lease.device)
        line = describe_long_baseline(trial, finished, study=self._view(), load=HostLoad.now())
        if line is not None:
            self._observer.note(line)
        alike = self._ledger.reason_to_give_up()
        if alike is not None:
            raise StudyStoppedError(alike)

    def _launch_again(self, ticket: Ticket, line: str, *, former: Running) -> None:
        """Launch a trial whose former process has just ended, and say why; the next start does it if this one stops."""
        if self._is_stopping:
            self._conclude(ticket, Finished(outcome=Outcome.INTERRUPTED, reason=line))
            return
        self._observer.note(f"trial {ticket.row.number}: {line}")
        lease = self._pool.acquire()
        assert lease is not None, "the trial's own lease was just released"
        self._launch(ticket, lease=lease, is_alone=former.is_alone)

    def _wait_for_memory(self, ticket: Ticket, crowded: Finished, *, lease: Lease, has_company: bool) -> None:
        """Let a trial wait that others leave no memory for; it is infeasible once it has waited often enough."""
        when = self._crowds.add(ticket, lease=lease, has_company=has_company, now=self._now())
        if when is None:
            self._conclude(ticket, give_up_waiting(crowded))
            return
        waits = f"{crowded.reason}; it starts {when}"
        if ticket.is_adopted:  # it has run
            self._conclude(ticket, crowded.model_copy(update={"reason": waits}))
        else:
            self._observer.note(f"trial {ticket.row.number}: {waits}")

    def _keep_time(self) -> None:
        """Do what is due: a sign of life, a stop that was asked for, the budget's end, trials that hang."""
        now = self._now()
        if now - self._beaten_at >= BEAT_SECONDS:
            self._beat()
            if self._ledger.hear_of_others() and not self._is_hopeless:
                self._is_exhausted = False
        if self._interrupts.should_stop:
            self._interrupt(now)
        elif self._ledger.standing.is_time_up:
            self._running.stop_all(Stop(outcome=Outcome.PRUNED, reason=self._ledger.time_up_reason()))
        if now - self._listened_at >= _DEAF_SECONDS:  # a database was waited for: hear first what trials have said
            return
        self._running.kill_overdue(self._deadlines, now=now)

    def _interrupt(self, now: float) -> None:
        """Stop all trials with their checkpoints; kill them on a second signal, or once their grace is over."""
        if self._stopping_since is None:
            self._stopping_since = now
            self._observer.note("stopping: running trials write their checkpoints; once more to stop at once")
            self._running.stop_all(Stop(outcome=Outcome.INTERRUPTED, reason="the study was stopped"))
        if self._interrupts.should_stop_at_once or now - self._stopping_since >= self._grace_seconds:
            self._running.kill_all()

    @staticmethod
    def _now() -> float:
        """Seconds on the session's clock, which nobody sets back."""
        return time.monotonic()

    def _beat(self) -> None:
        self._beaten_at = self._now()
        self._ledger.beat()
        self._on_beat()

    def _view(self) -> StudyView:
        return self._ledger.standing.view(num_running=len(self._running))
