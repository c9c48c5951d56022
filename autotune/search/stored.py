"""Reads and writes the trials of one study in Optuna's tables, by their numbers."""

import json
import warnings
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from optuna.storages import RDBStorage
from optuna.study import Study
from optuna.trial import FrozenTrial, Trial, TrialState
from sqlalchemy import TextClause, text

from autotune.events import Outcome, Scalar
from autotune.outages import not_repeated, repeatable
from autotune.search.outcomes import CONSTRAINT, DASHBOARD_CONSTRAINTS
from autotune.search.space import SearchSpace
from autotune.search.trials import attributes_of, queued_misfit

_ADD_REPORT = text(
    "INSERT INTO trial_intermediate_values (trial_id, step, intermediate_value, intermediate_value_type) "
    "VALUES (:trial_id, :step, :value, 'FINITE') ON CONFLICT DO NOTHING"
)
_DELETE_REPORTS = text("DELETE FROM trial_intermediate_values WHERE trial_id = :trial_id")
_DELETE_NOTE = text("DELETE FROM trial_system_attributes WHERE trial_id = :trial_id AND key = :key")
_IN_FLIGHT = text(
    "SELECT number, trial_id FROM trials WHERE study_id = :study_id AND state = 'RUNNING' ORDER BY number"
)
_SET_ATTRIBUTE, _SET_NOTE = (
    text(
        f"INSERT INTO {table} (trial_id, key, value_json) VALUES (:trial_id, :key, :value) "  # noqa: S608 - our own words
        "ON CONFLICT (trial_id, key) DO UPDATE SET value_json = excluded.value_json"
    )
    for table in ("trial_user_attributes", "trial_system_attributes")
)


@repeatable
class StoredTrials:
    """One study's trials in Optuna's tables; ``study.py`` gives the rows their meaning.

    Reports and attributes of a running trial are written straight to Optuna's tables, whose
    schema ``open_storage`` has checked: Optuna itself would use a transaction for each value, with up to
    six queries.

    Trials are named by their number in the study here, where Optuna's tables have ids of their own.
    """

    def __init__(self, study: Study, *, storage: RDBStorage) -> None:
        self._study = study
        self._storage = storage
        self.study_id = storage.get_study_id_from_name(study.study_name)
        """Optuna's id of the study."""
        self._ids: dict[int, int] = {}

    def all(self) -> list[FrozenTrial]:
        """Every trial by number; shared with Optuna's cache, so not to be changed."""
        return self._study.get_trials(deepcopy=False)

    def in_flight(self) -> list[tuple[int, int]]:
        """Numbers and Optuna's ids of the RUNNING trials, without reading their parameters and reports."""
        with self._storage.engine.connect() as connection:
            return [(row[0], row[1]) for row in connection.execute(_IN_FLIGHT, {"study_id": self.study_id})]

    def by_id(self, optuna_id: int) -> FrozenTrial:
        """One trial as the tables have it now."""
        return self._storage.get_trial(optuna_id)

    def id_of(self, number: int) -> int:
        """Optuna's id of the trial."""
        if number not in self._ids:
            self._ids[number] = self._storage.get_trial_id_from_study_id_trial_number(self.study_id, number)
        return self._ids[number]

    @not_repeated
    def add(self, template: FrozenTrial) -> FrozenTrial:
        """Add a trial like the template in one transaction; the tables give it its number."""
        optuna_id = self._storage.create_new_trial(self.study_id, template)
        added = self._storage.get_trial(optuna_id)
        self._ids[added.number] = optuna_id
        return added

    def add_reports(self, reports: Sequence[tuple[int, int, float]]) -> None:
        """Add (trial number, step, finite value) in one transaction; a value that exists at a step is kept."""
        rows = [{"trial_id": self.id_of(number), "step": step, "value": value} for number, step, value in reports]
        if rows:
            with self._storage.engine.begin() as connection:
                connection.execute(_ADD_REPORT, rows)

    def forget_course(self, number: int, *, notes: Collection[str]) -> None:
        """Delete the trial's reports, and the system attributes of these names, in one transaction."""
        trial_id = self.id_of(number)
        with self._storage.engine.begin() as connection:
            connection.execute(_DELETE_REPORTS, {"trial_id": trial_id})
            if notes:
                connection.execute(_DELETE_NOTE, [{"trial_id": trial_id, "key": name} for name in notes])

    def set_attributes(self, number: int, *, attributes: Mapping[str, Scalar]) -> None:
        """Set user attributes of a trial that has not ended; the dashboard shows them."""
        self._set(_SET_ATTRIBUTE, number, attributes)

    def set_notes(self, number: int, *, notes: Mapping[str, Any]) -> None:
        """Set system attributes (JSON values), in which Optuna's own parts keep their state."""
        self._set(_SET_NOTE, number, notes)

    def _set(self, statement: TextClause, number: int, values: Mapping[str, Any]) -> None:
        rows = [
            {"trial_id": self.id_of(number), "key": key, "value": json.dumps(value)} for key, value in values.items()
        ]
        if rows:
            with self._storage.engine.begin() as connection:
                connection.execute(statement, rows)

    def set_infeasible(self, number: int) -> None:
        """Record that the trial breaks its constraint, for samplers and for the dashboard."""
        trial = Trial(self._study, self.id_of(number))
        if CONSTRAINT not in trial.constraints:
            trial.set_constraint(CONSTRAINT, 1.0)
        self.set_notes(number, notes={DASHBOARD_CONSTRAINTS: [1.0]})

    def finish(self, number: int, *, state: TrialState, values: Sequence[float] | None) -> None:
        """Record the trial's end and tell the sampler; a trial that has ended already is left unchanged."""
        with warnings.catch_warnings():
            # cmaes warns for each trial that it doesn't use constraints.
            warnings.filterwarnings("ignore", message="Constraints have been set", category=UserWarning)
            self._study.tell(number, values, state, skip_if_finished=True)

    def refuse_misfits(self, trials: Sequence[FrozenTrial], *, space: SearchSpace) -> bool:
        """Fail queued trials that don't fit the space, with the reason; returns whether other queued trials wait."""
        has_queued = False
        for trial in trials:
            if trial.state is not TrialState.WAITING:
                continue
            misfit = queued_misfit(trial, space)
            has_queued = has_queued or misfit is None
            if misfit is not None:
                self.set_attributes(trial.number, attributes=attributes_of(Outcome.FAILED, misfit))
                self._storage.set_trial_state_values(self.id_of(trial.number), TrialState.FAIL)
        return has_queued


def delete_search(name: str, *, storage: RDBStorage) -> None:
    """Remove the Optuna study; nothing happens where there is none."""
    try:
        study_id = storage.get_study_id_from_name(name)
    except KeyError:
        return
    storage.delete_study(study_id)
