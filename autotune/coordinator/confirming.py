"""``NAME.confirm``: the winner and the baseline trained again on fresh seeds, one at a time."""

import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass

from pydantic import TypeAdapter

from autotune.coordinator.confirm_ledger import TRIAL, ConfirmLedger, Series
from autotune.coordinator.contenders import Contenders, NotConfirmedError, choose_contenders
from autotune.coordinator.fitting import Fitting
from autotune.coordinator.interrupts import Interrupts
from autotune.coordinator.ledger import Books
from autotune.coordinator.observer import Observer
from autotune.coordinator.provenance import git_commit
from autotune.coordinator.reserve import training_seconds
from autotune.coordinator.session import GRACE_SECONDS, Session
from autotune.coordinator.standing import standing_of
from autotune.events import Scalar
from autotune.hardware import Machine
from autotune.proof.rounds import plan_rounds
from autotune.proof.statistics import LEAST_VALUES
from autotune.recording.confirmed import confirm_name, find_confirmation, read_verdict
from autotune.recording.database import configure_engine, creation_lock, hide_password, open_database
from autotune.recording.drafts import NewStudy
from autotune.recording.files import StudyFiles, is_study_name, make_files_root
from autotune.recording.lease import StudyLease
from autotune.recording.publisher import Publisher
from autotune.recording.records import Records
from autotune.recording.rows import StudyRow, StudyState, TrialRow
from autotune.search.plan import SearchPlan
from autotune.search.space import SearchSpace, SpaceParameter
from autotune.search.storage import open_storage
from autotune.search.study import Search
from autotune.spec.model import Choice, Confirm, StudySpec
from autotune.trial.launcher import Launcher
from autotune.trial.leases import make_pool

_MARGIN = 1.1
_SOON_SECONDS = 600.0
"""After a stop; or as long as a training takes, if that is longer."""
_PUBLISH_SECONDS = 30.0
_space = TypeAdapter(SearchSpace)


@dataclass(frozen=True, kw_only=True)
class Arena:
    """Where a confirmation runs: beside nothing else, with the study's own lease held."""

    storage: str
    """Normalised."""
    tracking_uri: str
    launcher: Launcher
    machine: Machine
    observer: Observer
    interrupts: Interrupts
    on_beat: Callable[[], None]
    """Keeps the study's own lease."""
    grace_seconds: float = GRACE_SECONDS


@dataclass(frozen=True)
class Confirmation:
    """How it ended."""

    is_interrupted: bool
    is_whole: bool
    """Each side was trained as often as was asked for."""


@dataclass(frozen=True, kw_only=True)
class Limits:
    """What a confirmation at a study's end may cost; one that was asked for by itself has none."""

    seconds_left: float | None
    """For all trainings together; None without a limit."""


def confirm(arena: Arena, study: StudyRow, *, wanted: Confirm, limits: Limits | None = None) -> Confirmation:
    """Train what is missing; what is trained already counts.

    Args:
        arena: Where.
        study: The study whose winner is confirmed.
        wanted: How often, and against what.
        limits: Inside these fewer trainings do, where the time is short or the verdict is sure before.

    Raises:
        NotConfirmedError: There is nothing to confirm, or no time for enough trainings; nothing was trained.
    """
    with ExitStack() as stack:
        records = Records(open_database(arena.storage, create=False))
        stack.callback(records.engine.dispose)
        series = _series(records, study, wanted=wanted, seconds_left=limits.seconds_left if limits else None)
        wanted = wanted.model_copy(update={"repeats": series.repeats})
        books = _open_books(arena, records, study=study, wanted=wanted, series=series, stack=stack)
        rows = records.trials(books.study)
        standing = standing_of(books.study, spec=books.spec, rows=rows, storage=hide_password(arena.storage))
        fitting = Fitting(books.spec, machine=arena.machine, speed_parameters=(), has_shared_devices=False)
        ledger = ConfirmLedger(
            books,
            standing=standing,
            fitting=fitting,
            series=series,
            is_decided=lambda: limits is not None and _is_decided(records, study, series.contenders),
            on_beat=arena.on_beat,
        )
        books.publisher.start()
        most = "at most " if limits is not None and series.repeats > LEAST_VALUES else ""
        words = series.contenders.words
        arena.observer.note(f"confirming {words}: {most}{series.repeats} trainings each, on fresh seeds")
        arena.observer.study_opened(standing.view(num_running=0))
        session = Session(
            ledger=ledger,
            launcher=arena.launcher,
            pool=make_pool(books.spec.device, facts=arena.launcher.facts, jobs=1),
            observer=arena.observer,
            interrupts=arena.interrupts,
            deadlines=books.spec.deadlines,
            grace_seconds=arena.grace_seconds,
        )
        is_over = session.run()
        is_whole = is_over and not ledger.is_out_of_time
        if is_whole:
            records.set_state(books.study, state=StudyState.COMPLETE)
        elif is_over:
            arena.observer.note("no time is left in the budget for the other trainings")
            _be_content(records, study, books=books)
        if ledger.is_ended_early:
            arena.observer.note("the verdict is sure: the other trainings are not needed")
        books.publisher.close(timeout=_PUBLISH_SECONDS)
    return Confirmation(is_interrupted=not is_over, is_whole=is_whole)


def _is_decided(records: Records, study: StudyRow, contenders: Contenders) -> bool:
    verdict = read_verdict(records, study=study)
    known = {each.winner: each for each in (verdict, *verdict.others)} if verdict is not None else {}
    return all(row.number in known and known[row.number].is_decided for row in contenders.winners)


def _be_content(records: Records, study: StudyRow, *, books: Books) -> None:
    """With the trainings that there was time for: the verdict's intervals are then those of a last look."""
    verdict = read_verdict(records, study=study)
    if verdict is None or verdict.num_winner < LEAST_VALUES:
        return
    asked = books.spec.confirm.model_copy(update={"repeats": verdict.num_winner})
    row = books.study
    records.update_spec(
        row,
        spec_text=row.spec_text,
        spec_json=books.spec.model_copy(update={"confirm": asked}).model_dump_json(),
        resolved_json=row.resolved_json,
    )


def _series(records: Records, study: StudyRow, *, wanted: Confirm, seconds_left: float | None) -> Series:
    name = confirm_name(study.name)
    if not is_study_name(name):
        raise NotConfirmedError(
            f"study {study.name}: its confirmation needs a name, got {name}, which is too long for one"
        )
    spec, rows = StudySpec.model_validate_json(study.spec_json), records.trials(study)
    contenders = choose_contenders(rows, confirm=wanted, objective=spec.objectives[0], study=study.name)
    seconds = {
        row.number: training_seconds([recorded.report for recorded in records.reports(row)])
        + (row.setup_seconds or 0.0)
        for row in contenders.all
    }
    confirmation = find_confirmation(records, study=study)
    trained = records.trials(confirmation) if confirmation is not None else ()
    if confirmation is not None and seconds_left is not None:
        seconds_left -= confirmation.elapsed_seconds
    plans = {
        repeats: _plan(contenders, trained, repeats=repeats, seconds=seconds)
        for repeats in range(min(wanted.repeats, LEAST_VALUES), wanted.repeats + 1)
    }
    repeats = _affordable(study, plans, seconds=seconds, seconds_left=seconds_left)
    return Series(
        contenders=contenders,
        repeats=repeats,
        rounds=plans[repeats],
        num_trained=len(trained),
        searched={row.number: row for row in rows},
        seconds=seconds,
        used_seeds={row.seed for row in rows},
        seconds_left=seconds_left,
    )


def _plan(
    contenders: Contenders, trained: Sequence[TrialRow], *, repeats: int, seconds: Mapping[int, float]
) -> list[list[int]]:
    """The rounds that are missing, by the contenders' numbers; those that failed count."""
    reference, *winners = (row.number for row in contenders.all)
    last = trained[-1] if trained else None
    soon = max(_SOON_SECONDS, *seconds.values())
    is_open = last is not None and (last.ended_at is None or time.time() - last.ended_at < soon)
    order = _numbers(trained, contenders)
    return plan_rounds(order, reference=reference, winners=winners, repeats=repeats, is_open=is_open)


def _numbers(trained: Sequence[TrialRow], contenders: Contenders) -> list[int]:
    """The contenders' that were trained; one below 0 for what was trained for an earlier winner."""
    others: list[Mapping[str, Scalar]] = []
    numbers = []
    for row in trained:
        number = next((each.number for each in contenders.all if each.parameters == row.parameters), None)
        if number is None:
            if row.parameters not in others:
                others.append(row.parameters)
            number = -1 - others.index(row.parameters)
        numbers.append(number)
    return numbers


def _affordable(
    study: StudyRow, plans: Mapping[int, list[list[int]]], *, seconds: Mapping[int, float], seconds_left: float | None
) -> int:
    """The most repeats that there is time for: fewer trainings than tell anything are not worth it."""
    costs = {repeats: _MARGIN * sum(seconds[each] for part in plan for each in part) for repeats, plan in plans.items()}
    if seconds_left is None:
        return max(costs)
    least = min(costs)
    if costs[least] > seconds_left:
        raise NotConfirmedError(
            f"study {study.name}: the winner is not confirmed: {_seconds(costs[least])} are needed, and the budget has "
            f"{_seconds(max(0.0, seconds_left))} left; `autotune study confirm {study.name}` does it"
        )
    return max(repeats for repeats, cost in costs.items() if cost <= seconds_left)


def _seconds(seconds: float) -> str:
    return f"{seconds:.3g} s"


def _open_books(
    arena: Arena, records: Records, *, study: StudyRow, wanted: Confirm, series: Series, stack: ExitStack
) -> Books:
    name = confirm_name(study.name)
    confirmation = find_confirmation(records, study=study)
    spec = _confirm_spec(study, wanted=wanted, num_trials=series.num_trials)
    space = _confirm_space(series)
    plan = SearchPlan(
        space=space,
        objectives=spec.objectives,
        sampler=spec.sampler,
        pruner=spec.pruner,
        max_resource=spec.budget.max_resource,
        resource=spec.budget.resource,
    )
    with creation_lock(arena.storage):
        optuna_storage = open_storage(arena.storage, configure_engine=configure_engine)
    stack.callback(optuna_storage.engine.dispose)
    texts = {"spec_text": study.spec_text, "spec_json": spec.model_dump_json()}
    resolved_json = _space.dump_json(space).decode()
    if confirmation is None:
        Search.create(name, storage=optuna_storage, plan=plan)
        new = NewStudy(name=name, task=study.task, seed=study.seed, resolved_json=resolved_json, **texts)
        confirmation = records.create_study(new)
    lease = StudyLease.acquire(records, study=confirmation)
    stack.callback(lease.release)
    confirmation = records.update_spec(confirmation, resolved_json=resolved_json, **texts)
    publisher = Publisher(arena.storage, study=name, tracking_uri=arena.tracking_uri)
    stack.callback(publisher.close, timeout=0.0)
    return Books(
        study=confirmation,
        spec=spec,
        records=records,
        search=Search.open(name, storage=optuna_storage, plan=plan),
        publisher=publisher,
        files=StudyFiles.of(confirmation, root=make_files_root(arena.storage)),
        lease=lease,
        environment_id=records.add_environment(arena.machine),
        git_commit=git_commit(spec.task),
    )


def _confirm_spec(study: StudyRow, *, wanted: Confirm, num_trials: int) -> StudySpec:
    """The study's own, for trainings that nothing prunes and no time cuts off."""
    spec = StudySpec.model_validate_json(study.spec_json)
    changes = {
        "sampler": Choice(name="random"),
        "pruner": Choice(name="none"),
        "confirm": wanted,
        "log_model": False,
        "budget": spec.budget.model_copy(update={"trials": num_trials, "seconds": None}),
    }
    return spec.model_copy(update=changes)


def _confirm_space(series: Series) -> SearchSpace:
    most = max(1, *series.searched)
    number = SpaceParameter(name=TRIAL, group="learning", type="int", low=0, high=most)
    return SearchSpace((number,), fixed={}, left_out=(), baseline={TRIAL: series.contenders.reference.number})
