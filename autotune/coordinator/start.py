"""From a study spec to a finished study: the one way in for ``study start`` and ``study resume``."""

import tempfile
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path

from autotune.coordinator.admission import Admission, MemoryAdmission
from autotune.coordinator.aims import check_jobs
from autotune.coordinator.books import Books
from autotune.coordinator.closing import NEXT_START, close_books, confirm_winner, ends_study
from autotune.coordinator.company import joined
from autotune.coordinator.delivering import deliver_last
from autotune.coordinator.fitting import make_fitting
from autotune.coordinator.interrupts import Interrupts
from autotune.coordinator.ledger import Ledger
from autotune.coordinator.observer import Observer
from autotune.coordinator.opening.order import StartOrder
from autotune.coordinator.opening.refusals import check_existing, check_name
from autotune.coordinator.opening.stage import Stage, set_stage
from autotune.coordinator.opening.study import open_study
from autotune.coordinator.opening.warm_start import warm_start
from autotune.coordinator.races.source import make_speeds
from autotune.coordinator.session import Session
from autotune.coordinator.sharing import SharedLedger
from autotune.coordinator.speeds import Speeds
from autotune.coordinator.standing import Standing, standing_of
from autotune.coordinator.workplace import Workplace
from autotune.errors import StudyStoppedError
from autotune.outages import waiting_out
from autotune.recording.database import hide_password, normalise_url
from autotune.recording.mlflow.store import check_uri
from autotune.recording.rows import StudyState
from autotune.recording.starts import announced_start
from autotune.trial.launcher import Launcher


@dataclass(frozen=True)
class StudyResult:
    """How a start ended."""

    name: str
    is_complete: bool
    """The budget is used up, or the space is exhausted."""
    is_interrupted: bool
    """Ctrl-C or SIGTERM came, if only while its books were closed; the same command does what is left."""
    is_last: bool
    """This coordinator ended the study, and does what is done once at its end."""


def start_study(order: StartOrder, *, observer: Observer) -> StudyResult:
    """Start the study, or go on with it: what is typed is the same, and budgets are totals.

    The first SIGINT or SIGTERM stops cleanly, with checkpoints; the second at once.

    Raises:
        InputError: Something that was typed or written can't be used; nothing was stored.
        StudyStoppedError: The first trials all failed alike.
        StudyCutOffError: The database failed while trials trained; the next start goes on.
        LeaseLostError: Another coordinator has taken the study over.
    """
    check_name(order.name)
    check_jobs(order.file, jobs=order.jobs)
    check_uri(order.places.tracking_uri)
    with (
        Interrupts() as interrupts,
        ExitStack() as stack,
        waiting_out(observer.note, should_give_up=lambda: interrupts.should_stop_at_once),
    ):
        check_existing(order, observer=observer)
        with announced_start(order.places.storage, name=order.name):
            launcher = stack.enter_context(
                Launcher.start(order.file.spec.task, secrets=order.file.secrets, tell=observer.note)
            )
            with tempfile.TemporaryDirectory() as folder:
                stage = set_stage(order.file, launcher=launcher, jobs=order.jobs, folder=Path(folder))
            interrupts.wake_with(launcher.wake)
            company = stack.enter_context(
                joined(
                    order.file.spec.device,
                    facts=launcher.facts,
                    who=f"study {order.name}",
                    meaning="throughput is marked * and compared with nothing, and no race is run",
                    tell=observer.note,
                    should_give_up=lambda: interrupts.should_stop,
                )
            )
            books = open_study(order, stage=stage, company=company, stack=stack, observer=observer)
        standing = load_standing(order, books)
        ledger = _open_ledger(order, books, stage=stage, launcher=launcher, standing=standing, observer=observer)
        if order.warm_start is not None:
            warm_start(books, source=order.warm_start, ledger=ledger, observer=observer)
        workplace = _workplace(order, books, stage=stage, launcher=launcher, interrupts=interrupts, observer=observer)
        session = workplace.open_session(books, ledger=ledger, pool=stage.pool)
        is_complete = _search(session, books, interrupts=interrupts, note=observer.note)
        return _end(order, books, standing=standing, workplace=workplace, is_complete=is_complete)


def _search(session: Session, books: Books, *, interrupts: Interrupts, note: Callable[[str], None]) -> bool:
    """Run the search; returns whether the budget is used up. A study that is given up is recorded as stopped."""
    try:
        return session.run()
    except StudyStoppedError:
        books.records.set_state(books.study, state=StudyState.STOPPED)
        deliver_last(books.publisher, interrupts=interrupts, note=note, remedy=NEXT_START)
        raise


def _end(
    order: StartOrder, books: Books, *, standing: Standing, workplace: Workplace, is_complete: bool
) -> StudyResult:
    """Confirm the winner if this coordinator ends the study, and close the books."""
    is_last = is_complete and ends_study(books)
    if is_last:
        confirm_winner(workplace, books, standing=standing)
    workplace.launcher.close()
    close_books(
        books,
        places=order.places,
        best_number=load_standing(order, books).best_number,  # read anew: other coordinators' trials count as well
        is_last=is_last,
        interrupts=workplace.interrupts,
        observer=workplace.observer,
    )
    return StudyResult(
        name=order.name,
        is_complete=is_complete,
        is_interrupted=workplace.interrupts.should_stop,
        is_last=is_last,
    )


def _workplace(
    order: StartOrder,
    books: Books,
    *,
    stage: Stage,
    launcher: Launcher,
    interrupts: Interrupts,
    observer: Observer,
) -> Workplace:
    """The workplace in which the study trains and then confirms its winner: one launcher, under the study's lease."""
    return Workplace(
        places=replace(order.places, storage=normalise_url(order.places.storage)),
        launcher=launcher,
        machine=stage.machine,
        company=books.company,
        observer=observer,
        interrupts=interrupts,
        on_beat=books.lease.beat,
        grace_seconds=order.grace_seconds,
    )


def _open_ledger(
    order: StartOrder, books: Books, *, stage: Stage, launcher: Launcher, standing: Standing, observer: Observer
) -> Ledger:
    fitting = make_fitting(books.spec, stage=stage, jobs=order.jobs)
    speeds = make_speeds(books, stage=stage, launcher=launcher, standing=standing, fitting=fitting, note=observer.note)
    return make_ledger(books, standing=standing, speeds=speeds, admission=MemoryAdmission(books, fitting=fitting))


def make_ledger(books: Books, *, standing: Standing, speeds: Speeds, admission: Admission) -> Ledger:
    """The ledger of a coordinator that has the study to itself, or of one among several."""
    if books.crew is None:
        return Ledger(books, standing=standing, speeds=speeds, admission=admission)
    return SharedLedger(books, crew=books.crew, standing=standing, speeds=speeds, admission=admission)


def load_standing(order: StartOrder, books: Books) -> Standing:
    """The standing with the totals of earlier starts."""
    rows = books.records.trials(books.study)
    return standing_of(books.study, spec=books.spec, rows=rows, storage=hide_password(order.places.storage))
