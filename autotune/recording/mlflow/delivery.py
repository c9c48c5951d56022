"""Delivers one study's rows to MLflow as an experiment with a parent run and a run for each trial.

Each step can be repeated without effect.
"""

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from autotune.recording.confirmed import read_verdict
from autotune.recording.files import StudyFiles
from autotune.recording.mlflow import run_contents as contents
from autotune.recording.mlflow.moved_store import follow_artifacts
from autotune.recording.mlflow.publication import Publication
from autotune.recording.mlflow.store import (
    RUN_TAG,
    STUDY_TAG,
    absolute_uri,
    create_experiment,
    explain_failure,
    find_experiment,
    open_client,
    shown_uri,
)
from autotune.recording.records import Records
from autotune.recording.rows import Environment, StudyRow, StudyState, TrialRow, TrialStatus
from autotune.secrecy import redact_text

if TYPE_CHECKING:
    from mlflow.entities import Metric

_LOG_BYTES = 64 * 1024
_RUNS_AT_ONCE = 1000
_PARENT = "study"


class Delivery:
    """An open client, and what it knows of MLflow's side of the study.

    It is made anew after every failure. The tags that each run is made with then show whether a
    request that got no answer was carried out.
    """

    def __init__(
        self, publication: Publication, *, files: StudyFiles, tracking_uri: str, is_rebuild: bool = False
    ) -> None:
        """Open a client.

        Args:
            publication: The rows that wait.
            files: The study's files.
            tracking_uri: MLflow's.
            is_rebuild: Trust no mark of what MLflow has. If nothing waits, everything is delivered again, which
                changes nothing that MLflow still has. If something waits, an earlier rebuild was cut off:
                its marks hold, except for trials whose run is missing.
        """
        self._publication = publication
        self._is_rebuild = is_rebuild
        self._files = files
        self._tracking_uri = absolute_uri(tracking_uri)
        self._client = open_client(tracking_uri)
        self._environments: Mapping[int, Environment] = {}
        self._runs: dict[str, str] | None = None
        """Ids of the study's runs in MLflow, by their tag; None before the experiment is known."""

    def deliver(self, *, beat: Callable[[], None]) -> str | None:
        """Deliver all that waits; ``beat`` is called between trials.

        Returns:
            One line about what MLflow refused for good while it took the rest; None when it took all.

        Raises:
            mlflow.exceptions.MlflowException: It can't be reached, or fails; what is delivered is marked.
        """
        study = self._publication.study()
        if study is None:
            return None
        study = self._settle(study)
        trials = self._publication.changed_trials()
        self._environments = self._publication.environments({trial.environment_id for trial in trials})
        refused = None
        for trial in trials:
            refused = self._deliver_or_explain(study, trial) or refused
            beat()
        if self._publication.is_study_changed():
            self._deliver_study(study)
        return refused

    def _settle(self, study: StudyRow) -> StudyRow:
        """The study with the ids of its experiment and parent run in this MLflow."""
        if self._runs is not None:
            return study
        if study.tracking_uri is not None and study.tracking_uri != shown_uri(self._tracking_uri):
            self._publication.forget()
        experiment_id = find_experiment(self._client, uid=study.uid, known=study.experiment_id)
        if experiment_id is None:
            self._publication.forget()
            experiment_id = create_experiment(self._client, study=study, tracking_uri=self._tracking_uri)
        else:
            follow_artifacts(self._client, experiment_id=experiment_id, tracking_uri=self._tracking_uri)
        self._runs = self._find_runs(study, experiment_id)
        if self._is_rebuild:
            if self._publication.num_waiting() == 0:
                self._publication.forget()
            else:
                self._publication.forget_missing(set(self._runs.values()))
        run_id = self._runs.get(_PARENT) or self._create_parent(study, experiment_id)
        uri = shown_uri(self._tracking_uri)
        self._publication.set_experiment(tracking_uri=uri, experiment_id=experiment_id, run_id=run_id)
        settled = self._publication.study()
        assert settled is not None, "only the holder of the study's lease deletes it"
        return settled

    def _find_runs(self, study: StudyRow, experiment_id: str) -> dict[str, str]:
        """The study's run ids by tag; of two runs with one tag the one that a row knows, else the first.

        Doubles exist where MLflow made a run too late, after it had been asked for again; they are deleted.
        """
        found: dict[str, str] = {}
        known = self._publication.run_ids()
        token: str | None = None
        while True:
            query = f"tags.`{STUDY_TAG}` = '{study.uid}'"
            page = self._client.search_runs(
                [experiment_id],
                query,
                max_results=_RUNS_AT_ONCE,
                order_by=["attributes.start_time ASC"],
                page_token=token,
            )
            for run in page:
                key, run_id = run.data.tags.get(RUN_TAG), str(run.info.run_id)
                if key is None or found.setdefault(key, run_id) == run_id:
                    continue
                double = found[key] if run_id in known else run_id
                found[key] = run_id if run_id in known else found[key]
                self._client.delete_run(double)
            token = page.token
            if not token:
                return found

    def _create_parent(self, study: StudyRow, experiment_id: str) -> str:
        run = self._client.create_run(
            experiment_id,
            start_time=contents.milliseconds(study.created_at),
            tags=contents.first_tags(study, run=_PARENT),
            run_name=study.name,
        )
        return str(run.info.run_id)

    def _deliver_study(self, study: StudyRow) -> None:
        from mlflow.entities import RunTag

        assert study.run_id is not None
        tags = {"state": study.state, "seed": str(study.seed), "task": study.task}
        verdict = read_verdict(Records(self._publication.engine), study=study)
        tags |= contents.verdict_tags(verdict)
        metrics = list(contents.verdict_metrics(verdict, at=study.ended_at or study.created_at))
        self._client.log_batch(study.run_id, metrics, tags=[RunTag(name, value) for name, value in tags.items()])
        self._client.log_text(study.run_id, study.spec_text, "spec.yaml")
        self._client.log_text(study.run_id, study.spec_json, "spec.json")
        self._client.log_text(study.run_id, study.resolved_json, "search_space.json")
        if study.state is StudyState.OPEN:
            self._client.update_run(study.run_id, status=contents.study_status(study))
        else:
            assert study.ended_at is not None
            ended_at = contents.milliseconds(study.ended_at)
            self._client.set_terminated(study.run_id, contents.study_status(study), ended_at)
        self._publication.mark_study(study)

    def _deliver_or_explain(self, study: StudyRow, trial: TrialRow) -> str | None:
        """Deliver one trial; returns a line where MLflow refuses this trial alone, so that others are delivered."""
        from mlflow.exceptions import MlflowException

        try:
            self._deliver_trial(study, trial)
        except MlflowException as error:
            if error.error_code not in {"INVALID_PARAMETER_VALUE", "RESOURCE_DOES_NOT_EXIST", "INVALID_STATE"}:
                raise
            if trial.run_id is not None and self._is_deleted(trial.run_id):
                self._publication.give_up(trial)
                return None
            return f"{explain_failure(self._tracking_uri, error)} (trial {trial.number})"
        return None

    def _deliver_trial(self, study: StudyRow, trial: TrialRow) -> None:
        from mlflow.exceptions import MlflowException

        run_id = trial.run_id or self._make_run(study, trial)
        if trial.speed_fallback is not None and self._has_other_parameters(run_id, trial):
            run_id = self._replace_run(run_id, study, trial)
        try:
            self._log_facts(run_id, trial)
        except MlflowException as error:
            if error.error_code != "INVALID_PARAMETER_VALUE" or not self._has_other_parameters(run_id, trial):
                raise
            run_id = self._replace_run(run_id, study, trial)
            self._log_facts(run_id, trial)
        self._log_reports(run_id, study, trial)
        if trial.status is TrialStatus.ENDED:
            self._log_end(run_id, study, trial)
        self._publication.mark_trial(trial)

    def _has_other_parameters(self, run_id: str, trial: TrialRow) -> bool:
        """Whether the run has the parameters from before the trial fell back to the baseline's speed parameters.

        MLflow refuses another value of a parameter, but keeps one that the trial has no more.
        """
        run = self._client.get_run(run_id)
        params = contents.trial_params(trial)
        is_active = str(run.info.lifecycle_stage) != "deleted"
        return is_active and any(value != params.get(name) for name, value in run.data.params.items())

    def _replace_run(self, run_id: str, study: StudyRow, trial: TrialRow) -> str:
        """Make a new run for the trial; after a crash in between, the next delivery finds the old one by its tag."""
        assert self._runs is not None
        self._publication.forget_run(trial)
        self._client.delete_run(run_id)
        self._runs.pop(str(trial.number), None)
        return self._make_run(study, trial)

    def _is_deleted(self, run_id: str) -> bool:
        """Whether the run was deleted in MLflow, and should stay so."""
        from mlflow.exceptions import MlflowException

        try:
            return str(self._client.get_run(run_id).info.lifecycle_stage) == "deleted"
        except MlflowException as error:
            if error.error_code == "RESOURCE_DOES_NOT_EXIST":
                return True
            raise

    def _make_run(self, study: StudyRow, trial: TrialRow) -> str:
        assert self._runs is not None
        assert study.experiment_id is not None
        key = str(trial.number)
        if key not in self._runs:
            tags = contents.first_tags(study, run=key) | {"mlflow.parentRunId": str(study.run_id)}
            started_at = contents.milliseconds(trial.started_at or trial.created_at)
            run = self._client.create_run(study.experiment_id, started_at, tags, contents.name_trial(trial))
            self._runs[key] = run.info.run_id
        self._publication.set_run(trial, run_id=self._runs[key])
        return self._runs[key]

    def _log_facts(self, run_id: str, trial: TrialRow) -> None:
        from mlflow.entities import Param, RunTag

        tags = contents.trial_tags(trial, environment=self._environment(trial))
        params = contents.trial_params(trial)
        self._client.log_batch(
            run_id,
            tags=[RunTag(name, value) for name, value in tags.items()],
            params=[Param(name, value) for name, value in params.items()],
        )

    def _log_reports(self, run_id: str, study: StudyRow, trial: TrialRow) -> None:
        while reports := self._publication.waiting_reports(trial):
            metrics: list[Metric] = []
            for row in reports:
                metrics += contents.epoch_metrics(row.report, study=study)
            self._client.log_batch(run_id, metrics=metrics)
            self._publication.mark_reports(trial, epochs=[row.report.epoch for row in reports])

    def _log_end(self, run_id: str, study: StudyRow, trial: TrialRow) -> None:
        assert trial.ended_at is not None
        last_epoch = self._publication.last_epoch(trial)
        self._client.log_batch(run_id, metrics=list(contents.final_metrics(trial, study=study, last_epoch=last_epoch)))
        configuration = contents.configuration(trial, environment=self._environment(trial))
        self._client.log_dict(run_id, configuration, "configuration.json")
        tail = _tail(self._files, trial.number)
        if tail:
            self._client.log_text(run_id, tail, "trial.log")
        self._client.set_terminated(run_id, contents.trial_status(trial), contents.milliseconds(trial.ended_at))

    def _environment(self, trial: TrialRow) -> Environment | None:
        """The machine that the trial ran on; None where it was never launched."""
        return None if trial.environment_id is None else self._environments.get(trial.environment_id)


def _tail(files: StudyFiles, number: int) -> str:
    """The end of the trial's log without secrets; empty where there is none."""
    path = files.log(number)
    if not path.exists():
        return ""
    with path.open("rb") as file:
        file.seek(max(0, path.stat().st_size - _LOG_BYTES))
        return redact_text(file.read().decode("utf-8", "replace"))
