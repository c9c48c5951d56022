"""From a study spec to a finished study: the one way in for ``study start`` and ``study resume``."""

import tempfile
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path

from autotune.coordinator.aims import check_jobs
from autotune.coordinator.books import Books
from autotune.coordinator.closing import PUBLISH_SECONDS, close_books, confirm_winner, ends_study
from autotune.coordinator.cut_off import cutting_off
from autotune.coordinator.fitting import Fitting, make_fitting
from autotune.coordinator.interrupts import Interrupts
from autotune.coordinator.ledger import Ledger
from autotune.coordinator.opening.moved import describe_move
from autotune.coordinator.observer import Observer
from autotune.coordinator.opening.spec import check_spec, create_study, describe_change, take_over_spec
from autotune.coordinator.opening.planning import plan_of
from autotune.coordinator.opening.provenance import git_commit
from autotune.coordinator.retraining.run import Arena
from autotune.coordinator.opening.room import check_room
from autotune.coordinator.session import GRACE_SECONDS, Session
from autotune.coordinator.sharing import SharedLedger
from autotune.coordinator.races.source import make_speeds
from autotune.coordinator.speeds import Speeds
from autotune.coordinator.opening.stage import Stage, set_stage
from autotune.coordinator.standing import Standing, standing_of
from autotune.coordinator.opening.warm_start import warm_start
from autotune.errors import InputError, StorageError, StudyHeldError, StudyNotFoundError, StudyStoppedError
from autotune.outages import waiting_out
from autotune.recording.ablated import ABLATION_SUFFIX
from autotune.recording.confirmed import CONFIRM_SUFFIX
from autotune.recording.crew import Crew
from autotune.recording.database import (
    configure_optuna_engine,
    creation_lock,
    find_database,
    hide_password,
    normalise_url,
    open_database,
)
from autotune.recording.files import StudyFiles, check_study_name, make_files_root
from autotune.recording.lease import StudyLease, check_holder
from autotune.recording.mlflow.publisher import Publisher
from autotune.recording.records import Records
from autotune.recording.rows import StudyRow, StudyState
from autotune.recording.sqlite_file import mark_at_rest, mark_in_use
from autotune.recording.transactions import guard_writes
from autotune.search.storage import open_storage
from autotune.search.study import Search
from autotune.spec.load import SpecFile
from autotune.spec.secret_parameters import check_secrets
from autotune.trial.launcher import Launcher


@dataclass(frozen=True)
class StartOrder:
    """What the user asked for, after the spec was read."""

    file: SpecFile
    """The spec with ``--set``, ``--trials``, ``--seconds``, ``--seed``, ``--sampler`` and ``--pruner`` applied."""
    name: str
    storage: str
    tracking_uri: str
    jobs: int = 1
    warm_start: str | None = None
    """Name of a study whose finished trials are taken over where they fit."""
    grace_seconds: float = GRACE_SECONDS
    """For trials to write their checkpoints after the first signal to stop."""


@dataclass(frozen=True)
class StudyResult:
    """How a start ended."""

    name: str
    is_complete: bool
    """The budget is used up, or the space is exhausted."""
    is_interrupted: bool
    """Ctrl-C or SIGTERM; the same command goes on."""
    is_last: bool
    """No other coordinator ended the study: what is done once at its end is this one's to do."""
    num_unpublished: int
    """Rows that MLflow has not got yet; the next start delivers them."""


def start_study(order: StartOrder, *, observer: Observer) -> StudyResult:
    """Start the study, or go on with it: what is typed is the same, and budgets are totals.

    The first SIGINT or SIGTERM stops cleanly, with checkpoints; the second at once.

    Raises:
        InputError: Something that was typed or written can't be used; nothing was stored.
        StudyStoppedError: The first trials all failed alike.
        StudyCutOffError: The database failed while trials trained; the next start goes on.
        LeaseLostError: Another coordinator has taken the study over.
    """
    _check_name(order.name)
    check_jobs(order.file, jobs=order.jobs)
    with (
        Interrupts() as interrupts,
        ExitStack() as stack,
        waiting_out(observer.note, should_give_up=lambda: interrupts.should_stop_at_once),
    ):
        _check_existing(order)
        launcher = stack.enter_context(Launcher.start(order.file.spec.task, secrets=order.file.secrets))
        with tempfile.TemporaryDirectory() as folder:
            stage = set_stage(order.file, launcher=launcher, jobs=order.jobs, folder=Path(folder))
        interrupts.wake_with(launcher.wake)
        books = open_books(order, stage=stage, stack=stack, observer=observer)
        standing = load_standing(order, books)
        ledger = _open_ledger(order, books, stage=stage, launcher=launcher, standing=standing, observer=observer)
        if order.warm_start is not None:
            warm_start(books, source=order.warm_start, ledger=ledger, observer=observer)
        books.publisher.start()
        observer.study_opened(standing.view(num_running=0))
        session = Session(
            ledger=ledger,
            launcher=launcher,
            pool=stage.pool,
            observer=observer,
            interrupts=interrupts,
            deadlines=books.spec.deadlines,
            grace_seconds=order.grace_seconds,
        )
        try:
            is_complete = session.run()
        except StudyStoppedError:
            books.records.set_state(books.study, state=StudyState.STOPPED)
            interrupts.let_raise()
            books.publisher.close(timeout=PUBLISH_SECONDS)
            raise
        is_last = is_complete and ends_study(books)
        arena = _arena(order, books, stage=stage, launcher=launcher, interrupts=interrupts, observer=observer)
        is_cut_off = is_last and confirm_winner(arena, books, standing=standing)
        launcher.close()
        interrupts.let_raise()
        num_waiting = close_books(
            books,
            storage=order.storage,
            tracking_uri=order.tracking_uri,
            best_number=load_standing(order, books).best_number,  # of others' trials as well
            is_last=is_last,
            observer=observer,
        )
        return StudyResult(
            name=order.name,
            is_complete=is_complete,
            is_interrupted=is_cut_off or not is_complete,
            is_last=is_last,
            num_unpublished=num_waiting,
        )


def _arena(
    order: StartOrder,
    books: Books,
    *,
    stage: Stage,
    launcher: Launcher,
    interrupts: Interrupts,
    observer: Observer,
) -> Arena:
    """Where the winner is confirmed: on the study's own launcher, under its lease."""
    return Arena(
        storage=normalise_url(order.storage),
        tracking_uri=order.tracking_uri,
        launcher=launcher,
        machine=stage.machine,
        observer=observer,
        interrupts=interrupts,
        on_beat=books.lease.beat,
        grace_seconds=order.grace_seconds,
    )


def _check_name(name: str) -> None:
    check_study_name(name)
    for suffix, what, command in (
        (CONFIRM_SUFFIX, "confirmations", "study confirm {}"),
        (ABLATION_SUFFIX, "ablations", "study report {} --ablate"),
    ):
        parent = name.removesuffix(suffix)
        if parent != name:
            rule = f"names that end in {suffix} are those of {what}"
            way_out = f"run `autotune {command.format(parent)}`, or choose another --name"
            raise InputError(f"study {name}: {rule}; {way_out}")


def _check_existing(order: StartOrder) -> None:
    """Say early what would be refused after torch was imported."""
    remedy = f"`autotune study start SPEC.yaml --name {order.name}` goes on, with the spec file that has it"
    check_secrets(order.file.spec, study=order.name, secrets=order.file.secrets, remedy=remedy)
    engine = find_database(order.storage)
    if engine is None:
        if order.warm_start is not None:
            shown = hide_password(order.storage)
            raise StudyNotFoundError(f"--warm-start: must name a study of {shown}, got {order.warm_start}; it has none")
        return
    records = Records(engine)
    study = records.find_study(order.name)
    if study is not None:
        if not records.is_shareable:
            check_holder(records.engine, study=study)
        check_spec(study, file=order.file)
    if order.warm_start is not None:
        records.study(order.warm_start)
    records.engine.dispose()


def open_books(order: StartOrder, *, stage: Stage, stack: ExitStack, observer: Observer) -> Books:
    """The study's books, found or made, with its lease; ``stack`` closes them."""
    storage = normalise_url(order.storage)
    root = make_files_root(storage)
    _check_room(order, storage=storage, stage=stage, observer=observer)
    records = Records(open_database(storage, create=True))
    stack.callback(records.engine.dispose)
    plan = plan_of(order.file.spec, space=stage.space, jobs=order.jobs)
    with creation_lock(storage):
        optuna_storage = open_storage(storage, configure_engine=configure_optuna_engine)
        stack.callback(optuna_storage.engine.dispose)
        study = records.find_study(order.name)
        if study is None:
            # Optuna's first: it refuses a name that is somebody else's study, before ours is made.
            Search.create(order.name, storage=optuna_storage, plan=plan)
            study = create_study(records, name=order.name, file=order.file, space=stage.space)
    crew = Crew.join(records, study=study) if records.is_shareable else None
    lease = StudyLease.acquire(records, study=study) if crew is None else crew.lease
    stack.callback(_give_back, lease, records)
    guard_writes(optuna_storage.engine, records)
    mark_in_use(records.engine)
    stack.enter_context(cutting_off())
    if crew is not None:
        _join_company(order, crew=crew, study=study, observer=observer)
    study, changes = take_over_spec(records, study=study, file=order.file, space=stage.space)
    for change in changes:
        observer.note(describe_change(change).strip())
    move = describe_move(records, study, spec=order.file.spec, machine=stage.machine)
    if move is not None:
        observer.note(move)
    publisher = Publisher(storage, study=order.name, tracking_uri=order.tracking_uri)
    stack.callback(publisher.close, timeout=0.0)
    return Books(
        study=study,
        spec=order.file.spec,
        records=records,
        search=Search.open(order.name, storage=optuna_storage, plan=plan),
        publisher=publisher,
        files=StudyFiles.of(study, root=root),
        lease=lease,
        environment_id=records.add_environment(stage.machine),
        git_commit=git_commit(order.file.spec.task),
        is_contended=order.jobs > 1,
        crew=crew,
    )


def _check_room(order: StartOrder, *, storage: str, stage: Stage, observer: Observer) -> None:
    size = stage.rehearsal.checkpoint_bytes
    shortage = check_room(storage, name=order.name, spec=order.file.spec, checkpoint_bytes=size, jobs=order.jobs)
    if shortage is not None:
        observer.note(shortage)


def _give_back(lease: StudyLease, records: Records) -> None:
    """Leave the database as it was found; one that takes nothing now is left as by a crash, which is no harm."""
    with suppress(StorageError), waiting_out(lambda _: None, limit_seconds=5.0):
        lease.release()
        mark_at_rest(records.engine)


def _open_ledger(
    order: StartOrder, books: Books, *, stage: Stage, launcher: Launcher, standing: Standing, observer: Observer
) -> Ledger:
    fitting = make_fitting(books.spec, stage=stage, jobs=order.jobs)
    speeds = make_speeds(books, stage=stage, launcher=launcher, standing=standing, fitting=fitting, note=observer.note)
    return make_ledger(books, standing=standing, speeds=speeds, fitting=fitting)


def make_ledger(books: Books, *, standing: Standing, speeds: Speeds, fitting: Fitting) -> Ledger:
    """The ledger of a coordinator that has the study to itself, or of one among several."""
    if books.crew is None:
        return Ledger(books, standing=standing, speeds=speeds, fitting=fitting)
    return SharedLedger(books, crew=books.crew, standing=standing, speeds=speeds, fitting=fitting)


def _join_company(order: StartOrder, *, crew: Crew, study: StudyRow, observer: Observer) -> None:
    """Say who runs the study already, and refuse what would change it under them; the dead are no company."""
    crew.bury()
    others = crew.others()
    if not others:
        return
    if order.warm_start is not None or check_spec(study, file=order.file).changes:
        what = "--warm-start" if order.warm_start is not None else "another spec"
        rule = f"its spec stays while others run it, got {what} and {len(others)} other coordinators"
        raise StudyHeldError(f"study {order.name}: {rule}; start with the spec that they have, or stop them first")
    who = ", ".join(f"pid {holder.pid} on {holder.hostname}" for holder in others)
    observer.note(f"study {order.name} is run by {who} already: this coordinator shares its trials")


def load_standing(order: StartOrder, books: Books) -> Standing:
    """Totals of earlier starts."""
    rows = books.records.trials(books.study)
    return standing_of(books.study, spec=books.spec, rows=rows, storage=hide_password(order.storage))
