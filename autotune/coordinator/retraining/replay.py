"""A recorded trial trained again with the same parameters and seeds; nothing is recorded."""

import math
import tempfile
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path

from autotune.coordinator.aims import targets_of
from autotune.coordinator.company import joined
from autotune.coordinator.exits import end_in_words
from autotune.coordinator.interrupts import Interrupts
from autotune.coordinator.observer import Observer, StudyView, TrialView
from autotune.coordinator.opening.relocating import relocate
from autotune.coordinator.orders import make_order
from autotune.coordinator.paces import TICK_SECONDS
from autotune.coordinator.standing import Standing
from autotune.errors import RunError
from autotune.events import Adjusted, EpochReport, Finished, Outcome, Progress, Scalar, Started, Stop, TrialOrder
from autotune.recording.database import hide_password, normalise_url, open_database
from autotune.recording.records import Records
from autotune.recording.rows import TrialRow
from autotune.spec.model import StudySpec
from autotune.spec.secret_parameters import check_secrets
from autotune.trial.launcher import Arrival, Exited, Launcher, TrialProcess
from autotune.trial.leases import make_pool
from autotune.trial.log import last_words
from autotune.trial.secrets import conceal_text

_SHOWN_LINES = 8
"""Last lines of a log that are shown of a training whose process was killed: its folder is gone then."""


@dataclass(frozen=True)
class ReplayResult:
    """What a trial reported when it was trained again, beside what was recorded of it."""

    reports: tuple[EpochReport, ...]
    """Those of the new training."""
    recorded: tuple[EpochReport, ...]
    """Those of the study's trial."""
    finished: Finished
    timed: frozenset[str] = frozenset()
    """Metrics that are times to a target: no two runs take the same."""

    @property
    def is_same(self) -> bool:
        """Every recorded epoch came again with the same metrics, times aside, to the last bit."""
        again = {report.epoch: self._untimed(report) for report in self.reports}
        return all(_is_equal(again.get(report.epoch), self._untimed(report)) for report in self.recorded)

    def _untimed(self, report: EpochReport) -> dict[str, float]:
        """The report's metrics without those that are times."""
        return {name: value for name, value in report.metrics.items() if name not in self.timed}


def replay_trial(
    storage: str, *, name: str, number: int, observer: Observer, secrets: Mapping[str, Scalar] | None = None
) -> ReplayResult:
    """Train trial ``number`` of the study again, as far as it was trained.

    On a CPU of the same kind, with the same versions, the losses are the same to the last bit.

    Raises:
        StudyNotFoundError: There is no such study or trial.
        InputError: A secret is missing, or the study's task is gone.
        RunError: The trial's process was killed, or ended without a word.
    """
    records = Records(open_database(normalise_url(storage), create=False))
    study = relocate(records.study(name), storage=storage)
    row = records.trial(study, number=number)
    recorded = tuple(recorded.report for recorded in records.reports(row))
    spec = study.spec
    records.engine.dispose()
    remedy = "name the spec file that has it: --spec FILE"
    check_secrets(spec, study=name, secrets=secrets or {}, remedy=remedy)
    standing = Standing(name=name, storage=hide_password(storage), objectives=spec.objectives, budget=spec.budget)
    with Interrupts() as interrupts, ExitStack() as stack:
        launcher = stack.enter_context(Launcher.start(spec.task, secrets=secrets, tell=observer.note))
        folder = stack.enter_context(tempfile.TemporaryDirectory())
        order = _order(row, spec=spec, study=name, folder=Path(folder), launcher=launcher)
        interrupts.wake_with(launcher.wake)
        stack.enter_context(
            joined(
                spec.device,
                facts=launcher.facts,
                who=f"trial {number} of study {study.name}",
                meaning="times are disturbed",
                tell=observer.note,
                should_give_up=lambda: interrupts.should_stop,
            )
        )
        view = standing.view(num_running=1)
        observer.study_opened(view)
        observer.trial_launched(TrialView(number, row.parameters, row.is_baseline, False, order.device), view)  # noqa: FBT003 - not adopted
        replay = _Replay(launcher, process=launcher.launch(order), recorded=recorded, observer=observer, view=view)
        timed = frozenset(target.objective for target in targets_of(spec.objectives))
        ended = replay.run(interrupts)
        if isinstance(ended, Exited):
            log = (Path(folder) / "trial.log").read_text(errors="replace")
            lines = conceal_text("\n".join(last_words(log, num_lines=_SHOWN_LINES)), secrets=secrets or {})
            end = f"trial {number}: {end_in_words(ended)}"
            raise RunError(f"{end}; its last lines:\n{lines}" if lines else end)
        return replace(ended, timed=timed)


class _Replay:
    """One trial's process, heard until it ends."""

    def __init__(
        self,
        launcher: Launcher,
        *,
        process: TrialProcess,
        recorded: tuple[EpochReport, ...],
        observer: Observer,
        view: StudyView,
    ) -> None:
        self._launcher = launcher
        self._process = process
        self._recorded = recorded
        self._observer = observer
        self._view = view
        self._reports: list[EpochReport] = []
        self._finished: Finished | None = None

    def run(self, interrupts: Interrupts) -> ReplayResult | Exited:
        """Listen until the process is gone; how that ended where it told nothing of its end."""
        while True:
            for arrival in self._launcher.wait(TICK_SECONDS):
                if isinstance(arrival.event, Exited):
                    return self._result() or arrival.event
                self._hear(arrival)
            if interrupts.should_stop:
                raise KeyboardInterrupt
            self._observer.ticked(self._view)

    def _hear(self, arrival: Arrival) -> None:
        """Tell the observer what the trial says, and stop it once it was trained as far as the record goes."""
        number = self._process.number
        match arrival.event:
            case Started() as started:
                self._observer.trial_started(number, started)
            case Adjusted() as adjusted:
                self._observer.note(f"trial {number}: {adjusted.reason}")
            case Progress() as progress:
                self._observer.trial_progressed(number, progress)
            case EpochReport() as report:
                self._reports.append(report)
                self._observer.trial_reported(number, report, self._view)
                if len(self._reports) == len(self._recorded):
                    stop = Stop(outcome=Outcome.PRUNED, reason="it was trained as far as the record goes")
                    self._launcher.send(self._process, stop=stop)
            case Finished() as finished:
                self._finished = finished
                self._observer.trial_ended(number, finished, self._view)
            case _:
                pass

    def _result(self) -> ReplayResult | None:
        if self._finished is None:
            return None
        return ReplayResult(tuple(self._reports), self._recorded, self._finished)


def _order(row: TrialRow, *, spec: StudySpec, study: str, folder: Path, launcher: Launcher) -> TrialOrder:
    """The order of the trial's new training, on a lease of this machine and with its files in ``folder``."""
    pool = make_pool(spec.device, facts=launcher.facts, jobs=1)
    lease = pool.acquire()
    assert lease is not None, "a fresh pool has a lease"
    return make_order(
        spec, study=study, number=row.number, parameters=row.parameters, seed=row.seed, lease=lease, folder=folder
    )


def _is_equal(one: dict[str, float] | None, other: dict[str, float]) -> bool:
    """Whether two epochs have the same metrics to the last bit; NaN is equal to NaN."""
    if one is None or one.keys() != other.keys():
        return False
    return all(one[key] == other[key] or (math.isnan(one[key]) and math.isnan(other[key])) for key in other)
