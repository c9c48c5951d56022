"""Turns our own rows into the histories that the search learns from."""

import math
from collections import defaultdict
from collections.abc import Collection

from autotune.coordinator.aims import known_values, step_of, value_on_the_way
from autotune.events import EpochReport, Outcome
from autotune.recording.records import Records
from autotune.recording.rows import StudyRow, TrialRow
from autotune.search.plan import TrialHistory
from autotune.spec.model import StudySpec

_FEW = 100
"""Up to this many trials, reports are read trial by trial; beyond, those of the whole study are read at once."""


def read_histories(
    records: Records, study: StudyRow, *, rows: Collection[TrialRow], spec: StudySpec
) -> list[TrialHistory]:
    """The histories of these trials, valued by the objectives of ``spec``, which may be another study's spec."""
    reports: defaultdict[int, list[EpochReport]] = defaultdict(list)
    each = (recorded for row in rows for recorded in records.reports(row))
    for recorded in each if len(rows) <= _FEW else records.all_reports(study):
        reports[recorded.trial_id].append(recorded.report)
    is_own = study.spec.objectives == spec.objectives
    return [_history(row, reports=reports[row.id], spec=spec, is_own=is_own) for row in rows]


def _history(row: TrialRow, *, reports: list[EpochReport], spec: StudySpec, is_own: bool) -> TrialHistory:
    told: dict[int, float] = {}
    for report in reports:
        value = value_on_the_way(spec.objectives[0], report)
        if not math.isnan(value):
            told.setdefault(step_of(report, budget=spec.budget), value)
    values = row.values
    if not is_own and row.outcome is Outcome.COMPLETE:
        known = known_values(spec.objectives, reports=reports, samples_per_second=row.samples_per_second)
        values = tuple(known.values()) if len(known) == len(spec.objectives) else None
    return TrialHistory(
        number=row.number,
        parameters=row.parameters,
        outcome=row.outcome if row.is_over else None,
        values=values,
        reason=row.reason,
        samples_per_second=row.samples_per_second,
        is_contended=row.is_contended,
        speed_fallback=row.speed_fallback,
        reports=told,
    )
