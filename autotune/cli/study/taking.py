"""What ``autotune study best`` does with ``--format`` and ``--register``."""

from dataclasses import replace

from autotune.coordinator.opening.relocating import relocate
from autotune.errors import InputError
from autotune.recording.mlflow.registry import RegisteredModel, register_model
from autotune.report.export.formats import as_command, as_json, as_yaml
from autotune.report.export.script.writing import write_script
from autotune.report.summaries.record import StudyRecord, read_record
from autotune.report.summaries.studies import best_of_study
from autotune.report.text.wording import name_trials


def taken_home(storage: str, *, name: str, kind: str, number: int | None) -> str:
    """The best trial, or the one of that number, as text in a format.

    Raises:
        InputError: The study has no such trial.
        RunError: No trial is complete, or the task can't stand in a script.
    """
    record = read_record(storage, name=name)
    chosen = _chosen(record, number)
    parameters = record.trials[chosen].parameters
    match kind:
        case "yaml":
            return as_yaml(parameters)
        case "json":
            return as_json(parameters)
        case "command":
            return as_command(parameters)
        case _:
            here = replace(record, study=relocate(record.study, storage=storage))
            return write_script(here, number=chosen).rstrip("\n")


def registered(storage: str, *, name: str, number: int | None, tracking_uri: str, model: str) -> RegisteredModel:
    """The model of the best trial, or of the one of that number, as a version in MLflow's registry.

    Raises:
        InputError: The study has no such trial.
        RunError: No trial is complete, or MLflow has no model of it and can't get one.
    """
    chosen = _chosen(read_record(storage, name=name), number)
    return register_model(storage, study=name, number=chosen, tracking_uri=tracking_uri, model=model)


def _chosen(record: StudyRecord, number: int | None) -> int:
    if number is None:
        return best_of_study(record.summary).number
    if number not in record.reports:
        known = name_trials(record.reports)
        raise InputError(f"trial {number}: study {record.study.name} must have it, got {known}; choose one")
    return number
