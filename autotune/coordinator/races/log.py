"""Where races are written down: their winners in our own table, their heats as an Optuna study."""

from collections.abc import Iterator
from dataclasses import replace

from autotune.coordinator.races.ground import RaceGround
from autotune.coordinator.races.words import tried_words
from autotune.coordinator.workloads import Workload
from autotune.events import Scalar
from autotune.outages import persist
from autotune.recording.races import RaceRecords, RaceRow
from autotune.recording.records import Records
from autotune.recording.rows import StudyRow
from autotune.search.races import RacedSetting, RaceStudy
from autotune.speed.racing.result import Heat, RaceResult


class RaceLog:
    """Keeps races of a study, or of none (``autotune speed``), and finds those that are known."""

    def __init__(self, records: Records, *, heats: RaceStudy, study: StudyRow | None = None) -> None:
        self._races = RaceRecords(records.engine)
        self._records = records
        self._heats = heats
        self._study = study

    def known(self, ground: RaceGround) -> dict[str, tuple[Workload, RaceResult]]:
        """Races of the ground's task on this very hardware and software that tried the same, by digest.

        Those of a task that was moved since, as projects are, are the ground's where the code is the same. Those on
        another kind of device of the machine (``cuda:0`` beside another model as ``cuda:1``), or with another share of
        its cores (``--jobs``), are not: its own settings and peaks would be taken for theirs. One that found nothing
        says nothing where its time was up, or where the machine was too busy to see anything.
        """
        answers = [*self._answers(ground)]
        return {ground.digest(workload): (workload, result) for _, workload, result in reversed(answers)}

    def newest(self, workload: Workload, *, ground: RaceGround) -> int | None:
        """The number under which this workload's known race is kept; None where none is."""
        digest = ground.digest(workload)
        return next((number for number, other, _ in self._answers(ground) if ground.digest(other) == digest), None)

    def _answers(self, ground: RaceGround) -> Iterator[tuple[int | None, Workload, RaceResult]]:
        """The races that ``known`` tells of, the newest first, each with its number; a workload may have several."""
        for row in self._races.known(task=ground.task, machine=ground.machine):
            then = Workload(row.task, row.device, row.num_cores, row.workload)
            if row.workload_digest != ground.digest(then) or not ground.is_of(then):
                continue
            result = RaceResult.model_validate_json(row.result_json)
            if result.is_answer:
                yield row.id, replace(then, task=ground.task), result

    def keep(self, result: RaceResult, *, workload: Workload, ground: RaceGround) -> int:
        """Write a race down for this study and later ones, under the number that is returned."""
        row = race_row(result, workload=workload, digest=ground.digest(workload))
        return self._races.add(
            row, machine=ground.machine, study=self._study, is_answer=result.is_answer, guard=self._records.guard
        )

    def complete(self, race_id: int, result: RaceResult) -> None:
        """Write down what was found out after a race, beside it."""
        self._races.complete(race_id, result_json=result.model_dump_json(), guard=self._records.guard)

    def charge(self, seconds: float, *, workload: Workload | None, ground: RaceGround) -> None:
        """Charge what a race took to the study, whatever came of it.

        Args:
            seconds: What it took since it was charged last.
            workload: What was raced; None for batches that are tried after a race: they leave none unfinished.
            ground: Where it was run.
        """
        if self._study is not None:
            digest, guard = None if workload is None else ground.digest(workload), self._records.guard
            self._races.charge(self._study, digest=digest, machine=ground.machine, seconds=seconds, guard=guard)

    def unfinished_seconds(self, workload: Workload, *, ground: RaceGround) -> float:
        """What races of this workload took in the study without an answer: killed or stopped, cut short, too loud."""
        if self._study is None:
            return 0.0
        return self._races.unfinished_seconds(self._study, digest=ground.digest(workload), machine=ground.machine)

    def add_heat(self, heat: Heat, *, workload: Workload) -> None:
        """Show a heat in Optuna's dashboard."""
        gain = heat.gain
        attributes: dict[str, Scalar] = {
            "workload": workload.words,
            "stage": heat.stage,
            "tried": tried_words(heat),
            "verdict": heat.verdict,
            "reason": heat.reason,
            "ratio": gain.ratio if gain else None,
            "ratio_low": gain.low if gain else None,
            "ratio_high": gain.high if gain else None,
            "is_vague": gain.is_vague if gain else None,
            "seconds": heat.seconds,
            "in_turns": heat.is_in_turns,
            **_around(heat),
        }
        persist(lambda: self._heats.add(RacedSetting(heat.setting, heat.samples_per_second, attributes)))


def _around(heat: Heat) -> dict[str, Scalar]:
    """What the setting held, what its start took, and what was around while it was measured."""
    found: dict[str, Scalar] = {"peak_memory_bytes": heat.peak_memory_bytes, "start_seconds": heat.start_seconds}
    if (around := heat.surroundings) is not None:
        found |= {"allocator_retries": around.allocator_retries, "recompilations": around.recompilations}
        for name in ("load", "clock_mhz", "temperature_celsius"):
            low, high = getattr(around, name) or (None, None)
            found |= {f"{name}_low": low, f"{name}_high": high}
    return found


def race_row(result: RaceResult, *, workload: Workload, digest: str) -> RaceRow:
    """The race of a workload as it is recorded, found again by the digest."""
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
