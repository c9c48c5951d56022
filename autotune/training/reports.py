"""The epochs that a trial has reported, kept with its checkpoint so that none is ever lost."""

from typing import TypedDict

from autotune.events import EpochReport


class ReportsState(TypedDict):
    """All reports as JSON texts."""

    reports: list[str]


class Reports:
    """Reports of a trial over all its processes, in order."""

    def __init__(self) -> None:
        self._reports: list[EpochReport] = []

    @property
    def all(self) -> tuple[EpochReport, ...]:
        """Every report so far, those of earlier processes too."""
        return tuple(self._reports)

    def add(self, report: EpochReport) -> None:
        """The next epoch's."""
        self._reports.append(report)

    def state_dict(self) -> ReportsState:
        """For the checkpoint."""
        return {"reports": [report.model_dump_json() for report in self._reports]}

    def load_state_dict(self, state: ReportsState) -> None:
        """From the checkpoint."""
        self._reports = [EpochReport.model_validate_json(text) for text in state["reports"]]
