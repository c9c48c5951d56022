"""Delivers recorded rows to MLflow in a thread of its own, which nothing in training waits for."""

import contextlib
import threading
import time
from dataclasses import dataclass, replace

from autotune.errors import AutotuneError, LeaseLostError
from autotune.outages import waiting_out
from autotune.recording.database import open_database
from autotune.recording.files import StudyFiles, files_root
from autotune.recording.lease import PUBLISHER, STALE_SECONDS, StudyLease
from autotune.recording.mlflow.delivery import Delivery
from autotune.recording.mlflow.publication import Publication
from autotune.recording.mlflow.store import absolute_uri, explain_failure, shown_uri
from autotune.recording.records import Records
from autotune.recording.rows import StudyRow

_PAUSE_SECONDS = 0.5
"""Pause between two rounds, so that rows recorded meanwhile are delivered in one batch."""

_LONGEST_PAUSE_SECONDS = 60.0
_BEAT_SECONDS = STALE_SECONDS / 3


@dataclass(frozen=True)
class PublishState:
    """What waits for delivery, and what the last attempt ran into."""

    num_waiting: int
    """Rows that MLflow has not got."""
    error: str | None
    """One line that says why the last attempt failed; None when it succeeded."""


class Publisher:
    """Delivers one study's rows to MLflow; what can't be delivered now is delivered later.

    What is delivered is marked in the database, so that no crash of either side loses a row, and
    MLflow keeps one row of what is sent twice. A lease of its own, beside the coordinator's, keeps
    two publishers of one study from making the same run.
    """

    def __init__(self, storage: str, *, study: str, tracking_uri: str, is_rebuild: bool = False) -> None:
        """Nothing is opened yet.

        Args:
            storage: The database.
            study: The study's name.
            tracking_uri: MLflow's.
            is_rebuild: MLflow may have lost what is marked as delivered: look first, and deliver it again.
        """
        self._storage = storage
        self._is_rebuild = is_rebuild
        self._name = study
        self._tracking_uri = tracking_uri
        self._state = PublishState(num_waiting=0, error=None)
        self._first_problem: str | None = None
        self._wake = threading.Event()
        self._closing = threading.Event()
        self._thread: threading.Thread | None = None
        self._publication: Publication | None = None

    @property
    def state(self) -> PublishState:
        """The last round's state; reads no database."""
        return self._state

    @property
    def first_problem(self) -> str | None:
        """Why MLflow has taken nothing since the start, as far as a round has shown it; None once it has."""
        return self._first_problem

    def start(self) -> None:
        """Start the thread; it delivers first what earlier starts left."""
        engine = open_database(self._storage, create=False)
        study = Records(engine).study(self._name)
        self._publication = Publication(engine, study_id=study.id)
        # A server that never answers must not keep the program from ending: its rows wait in the database.
        arguments = (self._publication, study)
        self._thread = threading.Thread(target=self._run, args=arguments, name="publisher", daemon=True)
        self._wake.set()
        self._thread.start()

    def notify(self) -> None:
        """Something was recorded; returns at once."""
        self._wake.set()

    def close(self, *, timeout: float) -> PublishState:
        """Deliver what waits, for at most ``timeout`` seconds, and end the thread; a second call does nothing."""
        self._closing.set()
        self._wake.set()
        if self._thread is None or self._publication is None:
            return self._state
        self._thread.join(timeout)
        self._state = replace(self._state, num_waiting=self._publication.num_waiting())
        if not self._thread.is_alive():
            self._thread = None
            self._publication.engine.dispose()
        elif self._state.num_waiting and self._state.error is None:
            self._state = replace(self._state, error=explain_failure(self._tracking_uri, TimeoutError("timed out")))
        return self._state

    def _run(self, publication: Publication, study: StudyRow) -> None:
        """Deliver in a thread of its own, which tells nobody of an outage: the coordinator does."""
        with waiting_out(lambda _: None):  # the coordinator tells of the same outage
            self._deliver_on(publication, study)

    def _deliver_on(self, publication: Publication, study: StudyRow) -> None:
        """Deliver whenever something was recorded, until the publisher is closed; failed rounds are repeated."""
        rounds = _Rounds(
            publication,
            study=study,
            storage=self._storage,
            tracking_uri=self._tracking_uri,
            is_rebuild=self._is_rebuild,
        )
        pause = _PAUSE_SECONDS
        is_last = False
        while not is_last:
            if not self._wake.wait(_BEAT_SECONDS):
                rounds.keep_lease()
                continue
            self._wake.clear()
            is_last = self._closing.is_set()
            self._state = rounds.deliver()
            self._first_problem = rounds.first_problem
            failed = self._state.error is not None
            pause = min(pause * 2, _LONGEST_PAUSE_SECONDS) if failed else _PAUSE_SECONDS
            if failed:
                self._wake.set()  # the same rows wait again
            self._closing.wait(pause)
        rounds.end()


class _Rounds:
    """Rounds of delivery; what one can't deliver is left for the next."""

    def __init__(
        self, publication: Publication, *, study: StudyRow, storage: str, tracking_uri: str, is_rebuild: bool
    ) -> None:
        self._publication = publication
        self._is_rebuild = is_rebuild
        self._study = study
        self._files = StudyFiles.of(study, root=files_root(storage))
        self._tracking_uri = tracking_uri
        self._lease: StudyLease | None = None
        self._delivery: Delivery | None = None
        self._beaten_at = 0.0
        self._num_waiting = 0
        self._has_delivered = False
        self.first_problem: str | None = None
        """What MLflow's store said to the first round that it failed; None once a round has succeeded."""

    def deliver(self) -> PublishState:
        """Deliver what waits, and tell how many rows still do, and why."""
        error = None
        try:
            error = self._try()
        except LeaseLostError as failure:
            self._lease = None
            error = str(failure)
        except AutotuneError as failure:
            error = str(failure)
        except Exception as failure:  # noqa: BLE001 - MLflow's stores raise anything, and the rows wait safely
            self._delivery = None
            error = explain_failure(self._tracking_uri, failure)
            if not self._has_delivered:
                self.first_problem = error
        try:
            self._num_waiting = self._publication.num_waiting()
        except AutotuneError as failure:
            error = error or str(failure)
        return PublishState(num_waiting=self._num_waiting, error=error)

    def keep_lease(self) -> None:
        """Keep the lease while nothing is to be delivered; a lost lease is taken again when it is needed."""
        if self._lease is not None:
            try:
                self._lease.beat()
            except LeaseLostError:
                self._lease = None
            except AutotuneError:  # the database can't be written now; the lease is ours until another process takes it
                return

    def end(self) -> None:
        """Give the lease back."""
        if self._lease is not None:
            with contextlib.suppress(AutotuneError):  # its process ends now, which frees the lease as well
                self._lease.release()

    def _try(self) -> str | None:
        """Deliver what waits; returns what MLflow refused, in one line."""
        is_delivered = self._publication.is_delivered_to(shown_uri(absolute_uri(self._tracking_uri)))
        if self._delivery is None and is_delivered and not self._is_rebuild:
            return None
        if self._lease is None:
            self._lease = StudyLease.acquire(self._publication, study=self._study, role=PUBLISHER)
        if self._delivery is None:
            self._delivery = Delivery(
                self._publication, files=self._files, tracking_uri=self._tracking_uri, is_rebuild=self._is_rebuild
            )
        refused = self._delivery.deliver(beat=self._beat)
        self._has_delivered, self.first_problem = True, None
        self._is_rebuild = False
        return refused

    def _beat(self) -> None:
        """Keep the lease during a long delivery."""
        assert self._lease is not None
        now = time.monotonic()
        if now - self._beaten_at > _BEAT_SECONDS / 2:
            self._lease.beat()
            self._beaten_at = now
