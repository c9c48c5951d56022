"""The race of one task outside a study: what ``autotune speed`` does."""

import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from autotune.coordinator.company import joined
from autotune.coordinator.opening.stage import Stage, set_stage
from autotune.coordinator.races.ground import RaceGround
from autotune.coordinator.races.log import RaceLog
from autotune.coordinator.workloads import Workload, kept_state
from autotune.errors import InputError, SpecError
from autotune.events import Scalar
from autotune.outages import undisturbed_seconds
from autotune.recording.database import creation_lock, normalise_url, open_database
from autotune.recording.engines import configure_engine
from autotune.recording.files import check_study_name
from autotune.recording.records import Records
from autotune.search.races import RaceStudy
from autotune.search.storage import open_storage
from autotune.spec.learning import DEFAULT_BATCH_SIZE
from autotune.spec.load import SpecFile
from autotune.spec.model import Choice, Parameter
from autotune.speed.measuring.arena import Contestant, ContestantLostError
from autotune.speed.measuring.bottleneck import Diagnosis
from autotune.speed.racing.batch import BatchLimit, BatchTry, find_largest_batch
from autotune.speed.racing.plan import RaceWatch
from autotune.speed.racing.race import race
from autotune.speed.racing.result import Heat, HeatStage, RaceResult
from autotune.trial.launcher import Launcher
from autotune.trial.leases import Lease

_OVERRUN = 1.5
"""Times its seconds after which a race is to be over at the latest: no start, and no judging of losses, takes longer.
Nobody ends it then, as a study's would be: who asked for it gets what it has found."""
_MOST_SAMPLES = 2**20
"""The largest batch that is tried of a task that does not tell how many samples it trains with."""
SECONDS = 120.0
"""What one race may take unless the user says otherwise."""
SECONDS_IN_TURNS = 600.0
"""The same for a race whose contestants have no room on the device side by side: each measurement costs a start."""


@dataclass(frozen=True)
class SpeedOrder:
    """What the user asked ``autotune speed`` for."""

    file: SpecFile
    name: str
    """The heats are kept as the Optuna study ``NAME.speed``."""
    storage: str
    batch_sizes: tuple[int | Literal["max"], ...] = ()
    """Batch sizes to race with, a race each; the baseline's is raced with if there are none.

    ``max`` is the largest that fits. Where one of them does not fit the device, larger ones are passed over.
    """
    seconds: float = SECONDS
    """Seconds that one race may take."""
    seconds_in_turns: float = SECONDS_IN_TURNS
    """Seconds that one race may take where two contestants have no room on the device side by side."""


@dataclass(frozen=True)
class SpeedWatch:
    """Functions that are called with news while races run."""

    takes_long: Callable[[str], None]
    """Called with a line where the task's import and set-up take long."""
    batch_tried: Callable[[BatchTry], None]
    """Called with a batch size that was tried, or passed over."""
    largest_found: Callable[[BatchLimit], None]
    """Called when the search for the largest batch has ended."""
    begun: Callable[[Workload], None]
    """Called with a workload whose race begins."""
    diagnosed: Callable[[Diagnosis], None]
    """Called when it is known what a step of the baseline waits for."""
    heat_begun: Callable[[HeatStage, Mapping[str, Scalar]], None]
    """Called with the stage and the changes of a heat that begins."""
    heat_over: Callable[[Heat], None]
    """Called with a heat that is over."""
    takes_turns: Callable[[], None]
    """Called when it turns out that two contestants have no room on the device, and take turns."""
    shared: Callable[[str], None]
    """Called with a line on other programs that may train on the device."""


@dataclass(frozen=True)
class RacedWorkload:
    """One race that came to its end."""

    workload: Workload
    result: RaceResult
    setting: Mapping[str, Scalar]
    """All speed parameters that the winner trains with, those that the spec fixes too."""


def race_task(order: SpeedOrder, *, watch: SpeedWatch) -> Iterator[RacedWorkload]:
    """Race the speed parameters of the spec's task, once for each batch size; each answer comes as its race ends.

    Raises:
        InputError: Something that was typed or written can't be used; nothing was stored.
        ContestantLostError: The baseline itself can't be trained with. Where its batch is too large for the device,
            the smaller sizes are raced first.
    """
    check_study_name(order.name)
    order = replace(order, file=as_raced(order.file))
    with ExitStack() as stack:
        launcher = stack.enter_context(
            Launcher.start(order.file.spec.task, secrets=order.file.secrets, tell=watch.takes_long)
        )
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        stage = set_stage(order.file, launcher=launcher, jobs=1, folder=folder)
        ground = RaceGround(
            order.file.spec, name=order.name, stage=stage, launcher=launcher, folder=folder, knobs=stage.knobs
        )
        _check_batch_sizes(order, num_samples=stage.rehearsal.num_train_samples)
        _check_something_is_raced(order, stage=stage, ground=ground)
        company = stack.enter_context(
            joined(
                order.file.spec.device,
                facts=launcher.facts,
                who=f"speed {order.name}",
                meaning="this measures on a disturbed device",
                tell=watch.shared,
            )
        )
        stack.enter_context(company.race_right())  # so that others wait; who asks by hand is not sent away
        log = _open_log(order, ground=ground, stack=stack)
        lease = stage.pool.acquire()
        assert lease is not None, "nobody else has one"
        yield from _LoneRaces(order, stage=stage, ground=ground, log=log, lease=lease, watch=watch).run()


def as_raced(file: SpecFile) -> SpecFile:
    """The spec with races for its speed parameters, however a study of it chooses them.

    Raises:
        SpecError: It has a ``speed`` section, and fixes all that stands in it.
    """
    speed = file.spec.speed
    if speed and not any(isinstance(parameter, Parameter) for parameter in speed.values()):
        raise _nothing_to_race(file, got="fixed values alone")
    return replace(file, spec=file.spec.model_copy(update={"speed_search": Choice(name="race")}))


def _check_something_is_raced(order: SpeedOrder, *, stage: Stage, ground: RaceGround) -> None:
    """Refuse a spec of whose knobs none has two values on this machine that go with the baseline."""
    file, learning = order.file, _learning_of(stage)
    sizes = [size for size in order.batch_sizes if size != "max"]
    workloads = [{**learning, "batch_size": size} for size in sizes] or [learning]
    if any(ground.plan(workload, seconds=0).entries for workload in workloads):
        return
    reasons = [f"{item.name} left out ({item.reason})" for item in stage.space.left_out if item.name in file.spec.speed]
    raise _nothing_to_race(file, got="; ".join(reasons) or "one value for each knob beside the baseline")


def _nothing_to_race(file: SpecFile, *, got: str) -> SpecError:
    remedy = "add choices, or remove the section: then every knob that applies is raced"
    return file.error("speed", rule="something must be left to race on this machine", got=got, remedy=remedy)


def _learning_of(stage: Stage) -> dict[str, Scalar]:
    """The baseline's learning parameters, the fixed ones too."""
    return {**stage.space.fixed, **stage.space.learning.baseline}


def _check_batch_sizes(order: SpeedOrder, *, num_samples: int | None) -> None:
    """Refuse batches of more samples than the task trains with; none are refused where ``num_samples`` is None."""
    largest = max((size for size in order.batch_sizes if size != "max"), default=0)
    if num_samples is not None and largest > num_samples:
        rule = f"must be at most {num_samples}, the task's training samples"
        raise InputError(f"--batch-size: {rule}, got {largest}; max finds the largest that fits")


def _open_log(order: SpeedOrder, *, ground: RaceGround, stack: ExitStack) -> RaceLog:
    """Where the races are kept, in a database that is made if need be; ``stack`` closes it."""
    storage = normalise_url(order.storage)
    records = Records(open_database(storage, create=True))
    stack.callback(records.engine.dispose)
    with creation_lock(storage):
        optuna_storage = open_storage(storage, configure_engine=configure_engine)
    stack.callback(optuna_storage.engine.dispose)
    return RaceLog(records, heats=RaceStudy(order.name, storage=optuna_storage, values=ground.values))


class _LoneRaces:
    """The races of one order, one after the other, on one device.

    Args:
        order: What the user asked for.
        stage: The machine, ready for the task.
        ground: What is raced, and by whom.
        log: Where races are kept.
        lease: The device and cores, which nothing else is on.
        watch: Who is told of the races.
    """

    def __init__(
        self,
        order: SpeedOrder,
        *,
        stage: Stage,
        ground: RaceGround,
        log: RaceLog,
        lease: Lease,
        watch: SpeedWatch,
    ) -> None:
        self._order = order
        self._stage = stage
        self._ground = ground
        self._log = log
        self._lease = lease
        self._watch = watch

    def run(self) -> Iterator[RacedWorkload]:
        """Race each workload; batch sizes above one that does not fit are passed over.

        Raises:
            ContestantLostError: The baseline can't be trained with. Where a batch is too large for the device, this is
                raised once the other sizes have been raced.
        """
        lost: BatchTry | None = None
        for learning in self._workloads():
            size = learning.get("batch_size")
            if lost is not None and isinstance(size, int) and size >= lost.batch_size:
                self._watch.batch_tried(BatchTry(size, None, f"not tried: {lost.batch_size} ran out of memory"))
                continue
            try:
                raced = self._race(learning)
            except ContestantLostError as error:
                if error.kind != "out of memory" or not self._order.batch_sizes or not isinstance(size, int):
                    raise _baseline_lost(error, workload=self._ground.workload(learning)) from error
                lost = BatchTry(size, None, str(error))
                self._watch.batch_tried(lost)
            else:
                yield raced
        if lost is not None:
            raise _too_large(lost)

    def _workloads(self) -> Iterator[dict[str, Scalar]]:
        """The learning parameters of each race."""
        stage, sizes = self._stage, self._order.batch_sizes
        learning = _learning_of(stage)
        if not sizes:
            yield learning
            return
        if stage.rehearsal.num_train_samples is None and isinstance(sizes[0], int):
            # A function task; the search for the largest batch looks for itself.
            with _passing_over_what_runs_out():  # its race will tell
                self._enter({**learning, "batch_size": sizes[0]}).retire()
        for size in sizes:
            yield {**learning, "batch_size": self._largest(learning) if size == "max" else size}

    def _largest(self, learning: Mapping[str, Scalar]) -> int:
        """The largest batch that fits, with the baseline's speed parameters."""
        start = learning.get("batch_size")
        found = find_largest_batch(
            lambda batch_size: self._enter({**learning, "batch_size": batch_size}),
            start=start if isinstance(start, int) else DEFAULT_BATCH_SIZE,
            limit=self._stage.rehearsal.num_train_samples or _MOST_SAMPLES,
            memory_bytes=self._ground.memory_bytes,
            tried=self._watch.batch_tried,
        )
        self._watch.largest_found(found)
        if found.largest is None:
            raise _too_large(found.tries[-1])
        return found.largest

    def _enter(self, learning: Mapping[str, Scalar]) -> Contestant:
        """A contestant with the baseline's speed parameters, which trains with the batch size that it is given."""
        plan = self._ground.plan(learning, seconds=0)
        contestant = self._ground.arena(learning, lease=self._lease, on_wait=_nothing).enter(plan.baseline)
        check_reads_batch_size(contestant, batch_size=learning["batch_size"], task=self._ground.task)
        return contestant

    def _race(self, learning: Mapping[str, Scalar]) -> RacedWorkload:
        """Race the workload of these learning parameters, and keep what was found."""
        ground, seconds = self._ground, self._order.seconds
        workload = ground.workload(learning)
        self._watch.begun(workload)

        def heat_over(heat: Heat) -> None:
            self._log.add_heat(heat, workload=workload)
            self._watch.heat_over(heat)

        in_turns = self._order.seconds_in_turns
        plan = ground.plan(learning, seconds=seconds, seconds_in_turns=in_turns, is_informed=True)
        plan = replace(plan, overrun=_OVERRUN)
        told = RaceWatch(
            diagnosed=self._watch.diagnosed,
            heat_begun=self._watch.heat_begun,
            heat_over=heat_over,
            takes_turns=self._watch.takes_turns,
        )
        with ground.arena(learning, lease=self._lease, on_wait=_nothing, seconds=seconds) as arena:
            result = race(arena, plan, watch=told, clock=undisturbed_seconds).model_copy(
                update={"kept_state": kept_state(learning)}
            )
        self._log.keep(result, workload=workload, ground=ground)
        return RacedWorkload(workload, result, ground.in_full(learning, result.setting))


def _baseline_lost(error: ContestantLostError, *, workload: Workload) -> ContestantLostError:
    """The error that says of which training nothing could be measured; one that names the task says it already."""
    reason = str(error)
    if not reason.startswith(f"task {workload.task}"):
        reason = f"task {workload.task}: must train to be raced ({workload.words}), and does not: {reason}"
    return ContestantLostError(error.kind, reason, shortage=error.shortage, traceback=error.traceback)


def _too_large(lost: BatchTry) -> ContestantLostError:
    """The error that says that a batch size does not fit, and what helps."""
    got = f"got {lost.batch_size}: {lost.reason}"
    return ContestantLostError(
        "out of memory", f"batch_size: must fit the device, {got}; take a smaller one or a smaller model"
    )


def check_reads_batch_size(contestant: Contestant, *, batch_size: Scalar, task: str) -> None:
    """Refuse to race batch sizes of a task that has its own, whatever it is given.

    Raises:
        InputError: The task has a batch size of its own; the contestant is retired.
    """
    if contestant.warmed.in_force.get("batch_size", batch_size) != batch_size:
        contestant.retire()
        raise InputError(
            f"--batch-size: the task must read batch_size, got {task}, which does not; "
            'make its loader by trial.loader, or with trial.params.get("batch_size", 32), or leave --batch-size out'
        )


@contextmanager
def _passing_over_what_runs_out() -> Iterator[None]:
    """End the block without an error where a contestant runs out of memory in it."""
    try:
        yield
    except ContestantLostError as error:
        if error.kind != "out of memory":
            raise


def _nothing() -> None:
    """Nothing has to be done while contestants train."""
