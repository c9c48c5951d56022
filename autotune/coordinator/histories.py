"""Our own rows as the search is told of them."""

from collections import defaultdict
from collections.abc import Iterable

from autotune.recording.records import Records
from autotune.recording.rows import StudyRow, TrialRow
from autotune.search.plan import TrialHistory


def read_histories(records: Records, study: StudyRow, *, rows: Iterable[TrialRow], metric: str) -> list[TrialHistory]:
    """What is recorded of these trials, with ``metric`` by epoch as their reports."""
    reports: defaultdict[int, dict[int, float]] = defaultdict(dict)
    for recorded in records.all_reports(study):
        if metric in recorded.report.metrics:
            reports[recorded.trial_id][recorded.report.epoch] = recorded.report.metrics[metric]
    return [
        TrialHistory(
            number=row.number,
            parameters=row.parameters,
            outcome=row.outcome if row.is_over else None,
            values=row.values,
            reason=row.reason,
            samples_per_second=row.samples_per_second,
            reports=reports[row.id],
        )
        for row in rows
    ]
