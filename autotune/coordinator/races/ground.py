"""What fixes the races of one spec on this machine: what is tried, from where, and by which contestants."""

import hashlib
import json
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

from autotune.coordinator.opening.stage import Stage
from autotune.coordinator.orders import make_order
from autotune.coordinator.workloads import Workload
from autotune.events import Scalar
from autotune.goals import BASELINE_NUMBER
from autotune.hardware import Machine
from autotune.search.space import SearchSpace, SpaceParameter
from autotune.spec.model import StudySpec
from autotune.spec.source import find_source, source_digest
from autotune.speed.knobs.entries import Entry, in_setting
from autotune.speed.knobs.knob import Knob
from autotune.speed.knobs.table import KNOBS
from autotune.speed.racing.informed import informed_guess, informed_setting
from autotune.speed.racing.pace import Pace
from autotune.speed.racing.plan import RacePlan
from autotune.speed.racing.repayment import may_compile_now, setting_for
from autotune.speed.racing.result import RaceResult
from autotune.speed.racing.run_length import RunLength
from autotune.speed.racing.stages.compiling import COMPILE
from autotune.trial.arena import Limits, ProcessArena
from autotune.trial.launcher import Launcher
from autotune.trial.leases import Lease

_SHORT_SECONDS = 30.0
"""A race of no more than this takes fewer blocks."""
_SHORT_PACE = Pace(floor_quads=5, screen_quads=6, confirm_quads=8)
_CPU_SHARE = 0.8
"""Of the host's memory; the rest is other programs'."""
_PATIENCE_SHARE = 0.25
"""Of a race's time, what one contestant that hangs may take of it."""
_LEAST_PATIENCE = 5.0
_NEAR_MISS = 0.97
"""A knob that lost by more than this on the nearest workload is not tried again on this one."""


class RaceGround:
    """The task, space and device that races of one study, or of one command, are run on."""

    def __init__(
        self,
        spec: StudySpec,
        *,
        name: str,
        stage: Stage,
        launcher: Launcher,
        folder: Path,
        knobs: Mapping[str, Knob],
    ) -> None:
        """Nothing runs yet; contestants will have their logs in ``folder``, an absolute path."""
        self.name = name
        self.task = spec.task
        self.machine = stage.machine
        self.entries = entries_of(stage.space, knobs=knobs, num_cores=stage.pool.num_cores, machine=stage.machine)
        self._spec = spec
        self._space = stage.space
        parents = {name for entry in self.entries for name in entry.knob.depends_on}
        fixed = _only(stage.space.fixed, knobs)
        known = {*KNOBS, *fixed, *(parameter.name for parameter in stage.space.speed)}
        self._unasked = {name: knobs[name].simplest for name in sorted(parents - known)}
        """Of the task's own knobs that the spec does not name, those that decide likewise: as the task has them."""
        unlike_torch = {name for name, value in fixed.items() if value != knobs[name].simplest}
        self._fixed = _only(fixed, parents | unlike_torch)
        """Speed parameters of one value that a setting has to name for what is raced to be known by it."""
        self._decisive = _only(fixed, parents & unlike_torch)
        """What of them decides whether something that is raced means anything, otherwise than torch would."""
        self._speed = {*self._fixed, *(parameter.name for parameter in stage.space.speed)}
        """Whether raced or, having one value alone, not."""
        self._device = stage.device
        self.num_train_samples = stage.rehearsal.num_train_samples
        self._num_cores = stage.pool.num_cores
        self._launcher = launcher
        self._folder = folder
        self._source = source_digest(spec.task)

    @property
    def memory_bytes(self) -> int:
        """What contestants may hold: of its smallest GPU, or of the host as far as it is not other programs'."""
        return int(_CPU_SHARE * self.machine.memory_bytes) if self.gpu_bytes is None else self.gpu_bytes

    @property
    def gpu_bytes(self) -> int | None:
        """The memory of its smallest GPU; None on a processor.

        What processes of a host hold counts what they share with the fork server: their sum predicts nothing.
        """
        if self._device != "cuda":
            return None
        return min(accelerator.memory_bytes for accelerator in self.machine.torch.accelerators)

    @property
    def run(self) -> RunLength:
        """How long a trial trains by the budget."""
        budget = self._spec.budget
        return RunLength(
            epochs=budget.epochs,
            seconds=budget.per_trial if budget.resource == "seconds" else None,
            samples=budget.per_trial if budget.resource == "samples" else None,
        )

    @property
    def values(self) -> Mapping[str, Sequence[Scalar]]:
        """What each knob may be in a race."""
        return {entry.name: entry.values for entry in self.entries}

    def workload(self, learning: Mapping[str, Scalar]) -> Workload:
        """The workload of these learning parameters."""
        return Workload.of(self._spec.task, learning, device=self._device, num_cores=self._num_cores)

    def is_of(self, workload: Workload) -> bool:
        """Whether a workload of the task trains where these races are run: on this device, with as many cores."""
        is_here = (workload.device, workload.num_cores) == (self._device, self._num_cores)
        return is_here and (workload.task == self.task or self._may_be_moved(workload.task))

    def _may_be_moved(self, task: str) -> bool:
        """A task that is in its place no more may be this one; its digest tells."""
        names = (each.rpartition(":")[2] for each in (task, self.task))
        return self._source is not None and len({*names}) == 1 and find_source(task) is None

    def digest(self, workload: Workload) -> str:
        """What must be the same for a result to hold: the workload, the task's source, what was raced from where.

        Not how long a run is: of a winner its runs have what they repay (``repayment.py``).
        The source is the task's file and what it imports of its own (``spec/source.py``). A change of its data, of
        an installed package that is not torch, or of a file that it reads is not seen.
        """
        baseline = _only(self._space.baseline, self.values)
        # A race that did not know of these passed over what depends on them: what it found is not the answer.
        baseline |= self._decisive
        fixed = _only(self._space.fixed, self._spec.speed) | {
            parameter.name: parameter.choices[0] for parameter in self._space.speed if len(parameter.choices) == 1
        }
        text = json.dumps([workload.digest, self._source, self.values, baseline, fixed], sort_keys=True)
        return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()

    def plan(
        self,
        learning: Mapping[str, Scalar],
        *,
        seconds: float,
        seconds_in_turns: float | None = None,
        former: RaceResult | None = None,
        run: RunLength | None = None,
        is_informed: bool = False,
    ) -> RacePlan:
        """A whole race; with a former result, one of what won or came near, from its winner.

        Args:
            learning: Learning parameters of the workload, the fixed ones too.
            seconds: What it may take.
            seconds_in_turns: Likewise, where two contestants have no room on the device; as long if None.
            former: The race of a workload like this one, or of this one for shorter runs.
            run: How long a training is; as the budget says if None.
            is_informed: Measure the winner against what an informed user would set, too.
        """
        run = run or self.run
        entries = possible_entries(self.entries, space=self._space, learning=learning)
        # With what the spec fixes: what other knobs mean, and what they go with, is known by it.
        baseline = self._unasked | self.in_full(learning, self._space.baseline)
        start = None
        if former is not None:
            start = self._unasked | self.in_full(learning, setting_for(former, run))
            entries = tuple(entry for entry in entries if _is_near(entry, former, run=run))
        informed = informed_setting(baseline, entries=entries, num_cores=self._num_cores)
        guess = informed_guess(baseline, entries=entries, num_cores=self._num_cores)
        return RacePlan(
            entries=entries,
            baseline=baseline,
            start=start,
            # On a processor they are worth little, and racing them as a whole took time from what is worth more.
            guess=guess if self._device == "cuda" else None,
            informed=informed if is_informed else None,
            epochs=run.epochs,
            run_seconds=run.seconds,
            run_samples=run.samples,
            seconds=seconds,
            seconds_in_turns=seconds_in_turns,
            memory_bytes=self.gpu_bytes,
            pace=_SHORT_PACE if seconds <= _SHORT_SECONDS else Pace(),
        )

    def in_full(self, learning: Mapping[str, Scalar], setting: Mapping[str, Scalar]) -> dict[str, Scalar]:
        """All speed parameters of a training with this setting, those too that have one value, and beside it alone."""
        return _only(self._space.with_speed(learning, setting), self._speed)

    def arena(
        self, learning: Mapping[str, Scalar], *, lease: Lease, on_wait: Callable[[], None], seconds: float | None = None
    ) -> ProcessArena:
        """Where the contestants of this workload are started, for a race of so many seconds; None where it is none."""
        learned = {name: value for name, value in learning.items() if name not in self._speed}
        order = make_order(
            self._spec,
            study=self.name,
            number=BASELINE_NUMBER,
            parameters=learned,
            seed=self._spec.seed,
            lease=lease,
            folder=self._folder,
        )
        complete = partial(self._space.with_speed, learned)
        return ProcessArena(
            self._launcher,
            order,
            folder=self._folder,
            complete=complete,
            limits=Limits(
                patience_seconds=max(_LEAST_PATIENCE, seconds * _PATIENCE_SHARE) if seconds is not None else None,
                is_slow_to_start=partial(is_slow_to_start, entries=self.entries),
            ),
            on_wait=on_wait,
        )


def possible_entries(
    entries: Sequence[Entry], *, space: SearchSpace, learning: Mapping[str, Scalar]
) -> tuple[Entry, ...]:
    """The entries with those values alone that go with these learning parameters (``fused`` with a fused optimizer)."""
    parameters = {parameter.name: parameter for parameter in space.speed}
    possible = []
    for entry in entries:
        parameter = parameters[entry.name]
        legal = parameter.legal_choices(learning) if parameter.type == "choices" else entry.values
        values = tuple(value for value in entry.values if value in legal)
        if len(values) > 1:
            possible.append(replace(entry, values=values))
    return tuple(possible)


def entries_of(space: SearchSpace, *, knobs: Mapping[str, Knob], num_cores: int, machine: Machine) -> tuple[Entry, ...]:
    """The searched speed parameters as a race takes them: choices as they are, of a range what is worth trying.

    A range that holds too little of that is tried at both of its ends.
    """
    entries = []
    for parameter in space.speed:
        knob = knobs[parameter.name]
        values = parameter.choices
        if not values:
            worth = [v for v in knob.candidates(machine, num_cores=num_cores) if _is_in_range(v, parameter)]
            values = tuple(worth) if len(worth) > 1 else (parameter.low, parameter.high)
        if len(values) > 1:
            entries.append(Entry(knob.on(machine), values))
    return tuple(entries)


def _is_in_range(value: Scalar, parameter: SpaceParameter) -> bool:
    if not parameter.has_value(value, choices=()):
        return False
    assert isinstance(value, int)
    assert isinstance(parameter.low, int)
    return (value - parameter.low) % int(parameter.step or 1) == 0


def is_slow_to_start(setting: Mapping[str, Scalar], *, entries: Sequence[Entry]) -> bool:
    """Whether a training's first step may well take far longer with this setting than with another."""
    slow = [entry for entry in entries if entry.knob.is_slow_to_start]
    return any(in_setting(setting, entry.name, entries) != entry.knob.simplest for entry in slow)


def _is_near(entry: Entry, former: RaceResult, *, run: RunLength) -> bool:
    """Whether the knob won there, or came near, or was passed over for want of steps that a run has.

    How far a winner is ahead of an informed guess says neither.
    """
    if entry.name == COMPILE and may_compile_now(former, run):
        return True
    ratios = [
        heat.gain.ratio
        for heat in former.heats
        if heat.gain is not None and heat.stage != "informed" and entry.name in heat.changes
    ]
    return entry.name in former.kept or max(ratios, default=0.0) >= _NEAR_MISS


def _only(parameters: Mapping[str, Scalar], names: Collection[str]) -> dict[str, Scalar]:
    return {name: value for name, value in parameters.items() if name in names}
