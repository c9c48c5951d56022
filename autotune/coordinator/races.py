"""Races inside a study: each workload's speed parameters, measured once and kept for later studies.

The first race, of the baseline's workload, is a whole one. A workload that comes up later races
briefly, from the winner of the one that is most like it, when no other trial runs and races have
not had their share of the study's time; otherwise it takes that winner over.
"""

import hashlib
import json
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from autotune.coordinator.orders import make_order
from autotune.coordinator.speeds import Floor, RaceEndedError
from autotune.coordinator.standing import BASELINE_NUMBER, Standing
from autotune.coordinator.workloads import Workload
from autotune.events import Scalar, TrialOrder
from autotune.hardware import Machine
from autotune.recording.races import RaceRecords, RaceRow
from autotune.recording.records import Records
from autotune.recording.rows import StudyRow
from autotune.search.races import RacedSetting, RaceStudy
from autotune.search.space import SearchSpace
from autotune.search.study import Proposal
from autotune.spec.model import StudySpec
from autotune.spec.written import written
from autotune.speed.arena import ContestantLostError
from autotune.speed.entries import Entry
from autotune.speed.knob import Knob
from autotune.speed.plan import RacePlan, RaceWatch
from autotune.speed.racing import race
from autotune.speed.result import Heat, RaceResult
from autotune.speed.track import Pace
from autotune.trial.arena import ProcessArena
from autotune.trial.launcher import Launcher

DEFAULT_SHARE = 0.1
"""Of a study's time that its races may take, unless ``speed_search: {race: {share: ...}}`` says otherwise."""
_FIRST_SECONDS = 30.0
"""What the first race may take in a study whose budget names no seconds."""
_LEAST_SECONDS = 4.0
"""Less is not enough to measure anything."""
_MOST_SECONDS = 120.0
_SHORT_SECONDS = 20.0
"""A race of no more than this takes shorter blocks."""
_NEAR_MISS = 0.97
"""A knob that lost by more than this on the nearest workload is not tried again on this one."""


@dataclass(frozen=True)
class RaceGround:
    """Everything of a study that its races need."""

    spec: StudySpec
    space: SearchSpace
    entries: tuple[Entry, ...]
    study: StudyRow
    records: Records
    heats: RaceStudy
    machine: Machine
    device: str
    """``cpu`` or ``cuda``."""
    num_cores: int
    """Cores of one trial."""
    launcher: Launcher
    standing: Standing
    folder: Path
    """Where contestants have their logs."""
    note: Callable[[str], None]


class RacedSpeeds:
    """Speed parameters from the race of each trial's workload."""

    def __init__(self, ground: RaceGround) -> None:
        self._ground = ground
        self._races = RaceRecords(ground.records.engine)
        self._candidates = _candidates_digest(ground)
        self._known: dict[str, tuple[Workload, RaceResult]] = {}
        self._spent_seconds = ground.study.speed_seconds
        self._has_failed = False
        for row in reversed(self._races.known(task=ground.spec.task, machine=ground.machine)):
            workload = Workload(row.task, row.device, row.num_cores, row.workload)
            if row.workload_digest == self._digest(workload):
                self._known[row.workload_digest] = workload, RaceResult.model_validate_json(row.result_json)
        if self._known:
            ground.note(f"races: {len(self._known)} workloads of this task are known on this machine")

    def complete(self, proposal: Proposal, *, floor: Floor | None) -> dict[str, Scalar]:
        """The proposal with the winner of its workload's race; the baseline keeps its own speed parameters."""
        learning = {**self._ground.space.fixed, **proposal.parameters}
        setting = self._setting_for(learning, floor=floor)
        if proposal.number == BASELINE_NUMBER:
            setting = self._ground.space.baseline
        return self._ground.space.with_speed(proposal.parameters, setting)

    def _setting_for(self, learning: Mapping[str, Scalar], *, floor: Floor | None) -> Mapping[str, Scalar]:
        ground = self._ground
        workload = Workload.of(ground.spec.task, learning, device=ground.device, num_cores=ground.num_cores)
        if (known := self._known.get(self._digest(workload))) is not None:
            return known[1].setting
        nearest = workload.nearest(other for other, _ in self._known.values())
        former = self._known[self._digest(nearest)][1] if nearest is not None else None
        result = None
        seconds = self._allowance(is_first=former is None)
        if floor is not None and floor.is_alone and seconds >= _LEAST_SECONDS and not self._has_failed:
            result = self._race(learning, workload, floor=floor, former=former, seconds=seconds)
        found = result or former
        return found.setting if found is not None else ground.space.baseline

    def _allowance(self, *, is_first: bool) -> float:
        """Seconds that the next race may take."""
        budget = self._ground.spec.budget.seconds
        share = float(str(self._ground.spec.speed_search.options.get("share", DEFAULT_SHARE)))
        if is_first:
            return min(_MOST_SECONDS, max(_LEAST_SECONDS, share * budget) if budget else _FIRST_SECONDS)
        return min(_MOST_SECONDS, share * self._ground.standing.elapsed_seconds - self._spent_seconds)

    def _race(
        self,
        learning: Mapping[str, Scalar],
        workload: Workload,
        *,
        floor: Floor,
        former: RaceResult | None,
        seconds: float,
    ) -> RaceResult | None:
        ground = self._ground
        plan = self._plan(learning, former=former, seconds=seconds)
        arena = ProcessArena(ground.launcher, self._order(learning, floor), folder=ground.folder, on_wait=floor.on_wait)
        ground.note(f"race: {workload.words}, up to {seconds:.0f} s" + (" (brief)" if former else ""))
        began = ground.standing.elapsed_seconds
        watch = RaceWatch(
            diagnosed=lambda diagnosis: ground.note(f"race: {diagnosis.words}"),
            heat_over=lambda heat: self._show(heat, workload),
        )
        try:
            result = race(arena, plan, watch=watch)
        except ContestantLostError as error:
            self._has_failed = True
            ground.note(f"race: its baseline can't be measured ({error}); trials take the baseline's speed parameters")
            return None
        except RaceEndedError:
            return None
        finally:
            self._spent_seconds += ground.standing.elapsed_seconds - began
        self._known[self._digest(workload)] = workload, result
        self._keep(workload, result)
        ground.note(f"race: {ending_words(result)}")
        return result

    def _plan(self, learning: Mapping[str, Scalar], *, former: RaceResult | None, seconds: float) -> RacePlan:
        ground = self._ground
        entries = possible_entries(ground.entries, space=ground.space, learning=learning)
        names = {entry.name for entry in entries}
        baseline = _speed_part(ground.space.with_speed(learning, ground.space.baseline), names)
        start = None
        if former is not None:
            start = _speed_part(ground.space.with_speed(learning, former.setting), names)
            entries = tuple(entry for entry in entries if _is_near(entry, former))
        pace = Pace(block_seconds=0.1, confirm_quads=5) if seconds <= _SHORT_SECONDS else Pace()
        return RacePlan(
            entries=entries,
            baseline=baseline,
            start=start,
            epochs=ground.spec.budget.epochs,
            seconds=seconds,
            pace=pace,
        )

    def _order(self, learning: Mapping[str, Scalar], floor: Floor) -> TrialOrder:
        ground = self._ground
        speed = {parameter.name for parameter in ground.space.speed}
        return make_order(
            ground.spec,
            study=ground.study.name,
            number=BASELINE_NUMBER,
            parameters={name: value for name, value in learning.items() if name not in speed},
            seed=ground.spec.seed,
            lease=floor.lease,
            folder=ground.folder,
        )

    def _show(self, heat: Heat, workload: Workload) -> None:
        if heat.verdict == "kept" and heat.gain is not None:
            self._ground.note(f"race: {format_changes(heat.changes)} {heat.gain.words}, {heat.stage}")
        self._ground.heats.add(raced_setting(heat, workload=workload.words))

    def _keep(self, workload: Workload, result: RaceResult) -> None:
        ground = self._ground
        row = race_row(workload, result, digest=self._digest(workload))
        self._races.add(row, machine=ground.machine, study=ground.study, guard=ground.records.guard)

    def _digest(self, workload: Workload) -> str:
        """What must be the same for a result to hold: the workload, and what was raced from which baseline."""
        return hashlib.blake2b(f"{workload.digest} {self._candidates}".encode(), digest_size=16).hexdigest()


def possible_entries(
    entries: Sequence[Entry], *, space: SearchSpace, learning: Mapping[str, Scalar]
) -> tuple[Entry, ...]:
    """The entries with those values alone that go with these learning parameters (``fused`` with a fused optimizer)."""
    parameters = {parameter.name: parameter for parameter in space.speed}
    possible = []
    for entry in entries:
        legal = parameters[entry.name].legal_choices(learning) if entry.name in parameters else ()
        values = tuple(v for v in entry.values if not legal or v in legal)
        if len(values) > 1:
            possible.append(replace(entry, values=values))
    return tuple(possible)


def entries_of(space: SearchSpace, *, knobs: Mapping[str, Knob], num_cores: int, machine: Machine) -> tuple[Entry, ...]:
    """The searched speed parameters as a race takes them: choices as they are, of a range what is worth trying."""
    entries = []
    for parameter in space.speed:
        knob = knobs[parameter.name]
        candidates = parameter.choices or knob.candidates(machine, num_cores=num_cores)
        legal = tuple(value for value in candidates if parameter.has_value(value, choices=parameter.choices))
        if len(legal) > 1:
            entries.append(Entry(knob, legal))
    return tuple(entries)


def race_row(workload: Workload, result: RaceResult, *, digest: str) -> RaceRow:
    """The race as it is kept."""
    return RaceRow(
        task=workload.task,
        device=workload.device,
        num_cores=workload.num_cores,
        workload=workload.features,
        workload_digest=digest,
        setting=result.setting,
        result_json=result.model_dump_json(),
        baseline_samples_per_second=result.baseline_samples_per_second,
        samples_per_second=result.samples_per_second,
        peak_memory_bytes=result.peak_memory_bytes,
        seconds=result.seconds,
    )


def raced_setting(heat: Heat, *, workload: str) -> RacedSetting:
    """The heat as the dashboard shows it."""
    gain = heat.gain
    attributes: dict[str, Scalar] = {
        "workload": workload,
        "stage": heat.stage,
        "tried": format_changes(heat.changes),
        "verdict": heat.verdict,
        "reason": heat.reason,
        "ratio": gain.ratio if gain else None,
        "ratio_low": gain.low if gain else None,
        "ratio_high": gain.high if gain else None,
        "seconds": heat.seconds,
    }
    return RacedSetting(heat.setting, heat.samples_per_second, attributes)


def ending_words(result: RaceResult) -> str:
    """How the race ended, in one line."""
    if result.gain is None:
        return f"nothing is surely faster than the baseline ({result.seconds:.0f} s)"
    return f"{format_changes(result.kept)} trains {result.gain.words} times as fast ({result.seconds:.0f} s)"


def format_changes(changes: Mapping[str, Scalar]) -> str:
    """``num_workers 2, channels_last true``; a knob that is left out shows ``default``."""
    return ", ".join(f"{name} {'default' if v is None else written(v)}" for name, v in changes.items()) or "nothing"


def _is_near(entry: Entry, former: RaceResult) -> bool:
    ratios = [heat.gain.ratio for heat in former.heats if heat.gain is not None and entry.name in heat.changes]
    return max(ratios, default=0.0) >= _NEAR_MISS


def _speed_part(parameters: Mapping[str, Scalar], names: Collection[str]) -> dict[str, Scalar]:
    return {name: value for name, value in parameters.items() if name in names}


def _candidates_digest(ground: RaceGround) -> str:
    tried = {entry.name: entry.values for entry in ground.entries}
    fixed = _speed_part(ground.space.fixed, ground.spec.speed)
    text = json.dumps([tried, _speed_part(ground.space.baseline, tried), fixed], sort_keys=True)
    return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()
