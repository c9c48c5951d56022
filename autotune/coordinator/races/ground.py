"""What fixes the races of one spec on this machine: what is tried, from where, and by which contestants."""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from autotune.coordinator.opening.stage import Stage
from autotune.coordinator.orders import make_order
from autotune.coordinator.races.entries import entries_near, entries_of, is_slow_to_start, possible_entries
from autotune.coordinator.races.identity import RaceIdentity
from autotune.coordinator.workloads import Workload
from autotune.events import Scalar
from autotune.goals import BASELINE_NUMBER
from autotune.spec.model import StudySpec
from autotune.speed.knobs.knob import Knob
from autotune.speed.knobs.table import KNOBS
from autotune.speed.racing.informed import informed_guess, informed_setting
from autotune.speed.racing.plan import RacePlan
from autotune.speed.racing.repayment import setting_for
from autotune.speed.racing.result import RaceResult
from autotune.speed.racing.run_length import RunLength
from autotune.trial.arena import Limits, ProcessArena
from autotune.trial.launcher import Launcher
from autotune.trial.leases import Lease

_CPU_SHARE = 0.8
"""Share of the host's memory that contestants may hold; the rest is other programs'."""
_PATIENCE_SHARE = 0.25
"""Share of a race's time that one contestant may take that hangs."""
_LEAST_PATIENCE = 5.0
"""Seconds that a contestant may take in any race."""


@dataclass(frozen=True)
class Entrant:
    """A workload that is to be raced, or of which larger batches are to be tried."""

    learning: Mapping[str, Scalar]
    """Its learning parameters, the fixed ones too."""
    workload: Workload
    digest: str
    """What its race is found again by (``RaceGround.digest``)."""


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
        """The task's own values of those of its knobs that the spec does not name, and that others depend on."""
        unlike_torch = {name for name, value in fixed.items() if value != knobs[name].simplest}
        self._fixed = _only(fixed, parents | unlike_torch)
        """Speed parameters of one value that a setting has to name for what is raced to be known by it."""
        self._speed = {*self._fixed, *(parameter.name for parameter in stage.space.speed)}
        """Names of the speed parameters that a setting names: those of the space, and the fixed ones that count."""
        self._device = stage.device
        self.num_train_samples = stage.rehearsal.num_train_samples
        self._num_cores = stage.pool.num_cores
        self._launcher = launcher
        self._folder = folder
        self._identity = RaceIdentity(
            spec,
            space=stage.space,
            values=self.values,
            decisive=_only(fixed, parents & unlike_torch),
            device=stage.device,
            num_cores=stage.pool.num_cores,
        )

    @property
    def memory_bytes(self) -> int:
        """Bytes that contestants may hold: the memory of the smallest GPU, or the host's less other programs' share."""
        return int(_CPU_SHARE * self.machine.memory_bytes) if self.gpu_bytes is None else self.gpu_bytes

    @property
    def gpu_bytes(self) -> int | None:
        """Bytes of the smallest GPU's memory; None on a processor.

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

    def entrant(self, parameters: Mapping[str, Scalar]) -> Entrant:
        """What a trial of these parameters enters a race as, whatever speed parameters are among them."""
        speed = {parameter.name for parameter in self._space.speed}
        learned = {name: value for name, value in parameters.items() if name not in speed}
        learning = {**self._space.fixed, **learned}
        workload = self.workload(learning)
        return Entrant(learning, workload, self.digest(workload))

    def digest(self, workload: Workload) -> str:
        """By what a race of this workload is found again; see RaceIdentity."""
        return self._identity.digest(workload)

    def is_of(self, workload: Workload) -> bool:
        """Whether a workload is the task's, and trains where these races are run; see RaceIdentity."""
        return self._identity.is_of(workload)

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
            seconds_in_turns: What it may take where two contestants have no room on the device; ``seconds`` if None.
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
            entries = entries_near(entries, former, run=run)
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
        )

    def in_full(self, learning: Mapping[str, Scalar], setting: Mapping[str, Scalar]) -> dict[str, Scalar]:
        """The speed parameters of a training with this setting, with the fixed ones that count."""
        return _only(self._space.with_speed(learning, setting), self._speed)

    def arena(
        self, learning: Mapping[str, Scalar], *, lease: Lease, on_wait: Callable[[], None], seconds: float | None = None
    ) -> ProcessArena:
        """Where the contestants of this workload are started.

        Args:
            learning: Learning parameters of the workload, the fixed ones too.
            lease: The device and the cores that contestants have.
            on_wait: Called again and again while a contestant is waited for.
            seconds: What the race may take, of which one that hangs may take a part; None outside a race.
        """
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


def _only(parameters: Mapping[str, Scalar], names: Collection[str]) -> dict[str, Scalar]:
    return {name: value for name, value in parameters.items() if name in names}
