"""Opens the study of a start: checks room and company, takes the lease, and applies this start's spec."""

from contextlib import ExitStack, suppress
from dataclasses import replace

from autotune.coordinator.aims import check_company
from autotune.coordinator.books import Books
from autotune.coordinator.company import Company
from autotune.coordinator.cut_off import cutting_off
from autotune.coordinator.observer import Observer
from autotune.coordinator.opening.books import Opening, open_books
from autotune.coordinator.opening.moved import describe_move
from autotune.coordinator.opening.order import StartOrder
from autotune.coordinator.opening.planning import plan_of
from autotune.coordinator.opening.room import check_room
from autotune.coordinator.opening.spec import check_spec, describe_change, new_study, take_over_spec
from autotune.coordinator.opening.stage import Stage
from autotune.errors import StorageError, StudyHeldError
from autotune.outages import waiting_out
from autotune.recording.crew import Crew
from autotune.recording.database import normalise_url, open_database
from autotune.recording.files import make_files_root
from autotune.recording.lease import StudyLease
from autotune.recording.records import Records
from autotune.recording.rows import StudyRow
from autotune.recording.sqlite_file import mark_at_rest, mark_in_use


def open_study(order: StartOrder, *, stage: Stage, company: Company, stack: ExitStack, observer: Observer) -> Books:
    """The study's books, found or made, with its lease; ``stack`` closes them."""
    places = replace(order.places, storage=normalise_url(order.places.storage))
    make_files_root(places.storage)
    _check_room(order, storage=places.storage, stage=stage, observer=observer)
    records = Records(open_database(places.storage, create=True))
    stack.callback(records.engine.dispose)

    def hold(study: StudyRow) -> tuple[StudyLease, Crew | None]:
        crew = Crew.join(records, study=study) if records.is_shareable else None
        lease = StudyLease.acquire(records, study=study) if crew is None else crew.lease
        stack.callback(_give_back, lease, records)
        return lease, crew

    def settle(study: StudyRow, crew: Crew | None) -> StudyRow:
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
        return study

    opening = Opening(
        places=places,
        new=new_study(order.name, file=order.file, space=stage.space),
        spec=order.file.spec,
        plan=plan_of(order.file.spec, space=stage.space, jobs=order.jobs),
        machine=stage.machine,
        company=company,
    )
    return open_books(opening, records=records, stack=stack, hold=hold, settle=settle)


def _check_room(order: StartOrder, *, storage: str, stage: Stage, observer: Observer) -> None:
    size = stage.rehearsal.checkpoint_bytes
    shortage = check_room(storage, name=order.name, spec=order.file.spec, checkpoint_bytes=size, jobs=order.jobs)
    if shortage is not None:
        observer.note(shortage)


def _give_back(lease: StudyLease, records: Records) -> None:
    """Release the lease and the mark of use; a database that can't be written is left as after a crash."""
    with suppress(StorageError), waiting_out(lambda _: None, limit_seconds=5.0):
        lease.release()
        mark_at_rest(records.engine)


def _join_company(order: StartOrder, *, crew: Crew, study: StudyRow, observer: Observer) -> None:
    """Tell who runs the study already, and refuse a start that would change it under living coordinators."""
    crew.bury()
    # Two that start at once see each other: only the one that joined later is refused.
    check_company(order.file.spec, study=order.name, here=crew.elders_here())
    others = crew.others()
    if not others:
        return
    changes = check_spec(study, file=order.file).changes
    if order.warm_start is not None or changes:
        spec = "another spec" if any(change.key != "task" for change in changes) else "other code of its task"
        what = "--warm-start" if order.warm_start is not None else spec
        rule = f"its spec stays while others run it, got {what} and {len(others)} other coordinators"
        raise StudyHeldError(f"study {order.name}: {rule}; start with the spec that they have, or stop them first")
    who = ", ".join(f"pid {holder.pid} on {holder.hostname}" for holder in others)
    observer.note(f"study {order.name} is run by {who} already: this coordinator shares its trials")
