"""What an MLflow run says about a trial or a study: names, tags, parameters, metrics."""

import getpass
import json
import math
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from autotune.events import EpochReport, Outcome, Scalar
from autotune.proof.verdict import Verdict
from autotune.recording.mlflow.names import key_of, objective_key
from autotune.recording.mlflow.store import RUN_TAG, STUDY_TAG
from autotune.recording.rows import Environment, StudyRow, StudyState, TrialRow, TrialStatus

if TYPE_CHECKING:
    from mlflow.entities import Metric

_MAX_TAG = 5000  # MLflow's own limit is 8000; older servers had 5000

_STATUSES = {
    Outcome.COMPLETE: "FINISHED",
    Outcome.PRUNED: "FINISHED",
    Outcome.DIVERGED: "FINISHED",
    Outcome.INFEASIBLE: "FINISHED",
    Outcome.TIMED_OUT: "FAILED",
    Outcome.FAILED: "FAILED",
    Outcome.INTERRUPTED: "KILLED",
}
_STUDY_STATUSES = {StudyState.OPEN: "RUNNING", StudyState.COMPLETE: "FINISHED", StudyState.STOPPED: "FAILED"}

_EPOCH_METRICS = (
    "samples_per_second",
    "lr",
    "samples",
    "seconds",
    "evaluation_seconds",
    "step_seconds_p50",
    "step_seconds_p95",
    "data_wait_share",
    "peak_memory_bytes",
    "device_utilisation",
    "power_watts",
    "trained_seconds",
    "trained_samples",
)


def name_trial(trial: TrialRow) -> str:
    """Such as ``trial 17 · adam · lr 3e-3 · bs 128``."""
    short = {"optimizer": "", "lr": "lr ", "batch_size": "bs "}
    named = [name for name in short if name in trial.parameters] or list(trial.parameters)[:3]
    parts = [f"{short.get(name, f'{name} ')}{show_value(trial.parameters[name])}" for name in named]
    return " · ".join([f"trial {trial.number}", *(["baseline"] if trial.is_baseline else []), *parts])


def show_value(value: Scalar) -> str:
    """A value as people write it: ``3e-3``, ``0.5``, ``128``, ``true``."""
    if isinstance(value, bool):
        return str(value).lower()
    if not isinstance(value, float):
        return str(value).rpartition(":")[2]
    if value == 0 or not math.isfinite(value) or 0.01 <= abs(value) < 10_000:  # noqa: PLR2004 - plain below five digits
        return f"{value:.3g}"
    mantissa, _, exponent = f"{value:.1e}".partition("e")
    return f"{mantissa.removesuffix('.0')}e{int(exponent)}"


def trial_status(trial: TrialRow) -> str:
    """MLflow's status of the trial's run; FINISHED only for what design calls that."""
    if trial.status is not TrialStatus.ENDED or trial.outcome is None:
        return "RUNNING"
    return _STATUSES[trial.outcome]


def study_status(study: StudyRow) -> str:
    """MLflow's status of the parent run."""
    return _STUDY_STATUSES[study.state]


def first_tags(study: StudyRow, *, run: str) -> dict[str, str]:
    """The tags that a run is made with, by which it is found again."""
    return {
        STUDY_TAG: study.uid,
        RUN_TAG: run,
        "mlflow.source.name": study.task,
        "mlflow.source.type": "LOCAL",
        "mlflow.user": _user(),
        "study": study.name,
    }


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container's user without a name
        return "unknown"


def trial_tags(trial: TrialRow, *, environment: Environment | None) -> dict[str, str]:
    """All facts about the trial that are not time series, as tags."""
    facts: dict[str, Scalar] = {
        "number": trial.number,
        "outcome": trial.outcome or trial.status,
        "reason": trial.reason,
        "is_baseline": trial.is_baseline,
        "origin": trial.origin,
        "seed": trial.seed,
        "device": trial.device,
        "restarts": trial.restarts,
        "num_parameters": trial.num_parameters,
        "checkpoint_problem": trial.checkpoint_problem,
        "speed_fallback": trial.speed_fallback,
        "unread_parameters": ", ".join(trial.unread_parameters) or None,
        "traceback": trial.traceback,
        "autotune.contended": "true" if trial.is_contended else None,
        "mlflow.source.git.commit": trial.git_commit,
        "mlflow.note.content": _description(trial),
    }
    if environment is not None:
        machine = environment.machine
        facts |= {
            "hardware_fingerprint": environment.hardware_fingerprint,
            "software_fingerprint": environment.software_fingerprint,
            "hostname": machine.hostname,
            "cpu": machine.cpu,
            "torch_version": machine.torch.version,
            "accelerator": ", ".join(accelerator.name for accelerator in machine.torch.accelerators) or None,
        }
    facts |= {f"in_force.{name}": value for name, value in trial.in_force.items()}
    return {key_of(name): str(value)[-_MAX_TAG:] for name, value in facts.items() if value is not None}


def _description(trial: TrialRow) -> str | None:
    """What a run's page says first: how the trial ended, and why."""
    if trial.outcome is None:
        return None
    return f"**{trial.outcome.value}**" + (f": `{trial.reason.replace('`', chr(39))}`" if trial.reason else "")


def trial_params(trial: TrialRow) -> dict[str, str]:
    """The trial's parameters; MLflow lets none of them change, so a trial that fell back has another run then."""
    return {key_of(name): str(value) for name, value in trial.parameters.items()}


def configuration(trial: TrialRow, *, environment: Environment | None) -> dict[str, Any]:
    """The whole resolved configuration, for an artifact."""
    return {
        "number": trial.number,
        "parameters": dict(trial.parameters),
        "in_force": dict(trial.in_force),
        "seed": trial.seed,
        "device": trial.device,
        "git_commit": trial.git_commit,
        "machine": None if environment is None else environment.machine.model_dump(mode="json"),
    }


def epoch_metrics(report: EpochReport, *, study: StudyRow) -> "Iterator[Metric]":
    """Every number of the epoch, with the epoch's own timestamp, so that sending it again gives the same row.

    The objectives come first: MLflow keeps the order, and its parallel coordinates open with the first. They stand
    under their name as objectives in each epoch that has them, so that a pruned trial is in every plot.
    """
    first = [name for name in objective_names(study) if name in report.metrics]
    numbers: dict[str, float | None] = {objective_key(name): report.metrics[name] for name in first}
    numbers |= {name: report.metrics[name] for name in first}
    numbers |= report.metrics
    numbers |= {name: getattr(report, name) for name in _EPOCH_METRICS}
    numbers["optimizer_steps"] = report.step
    numbers |= _system_metrics(report)
    yield from _metrics(numbers, at=report.at, step=report.epoch)


def _system_metrics(report: EpochReport) -> dict[str, float | None]:
    """The report's system metrics under the names, and in the units, that MLflow's page for them expects."""
    utilisation = report.device_utilisation
    return {
        "system/peak_memory_megabytes": report.peak_memory_bytes / 1e6,
        "system/gpu_utilization_percentage": None if utilisation is None else 100 * utilisation,
        "system/gpu_power_usage_watts": report.power_watts,
    }


def final_metrics(trial: TrialRow, *, study: StudyRow, last_epoch: int) -> "Iterator[Metric]":
    """What is known when the trial ended: its objectives, and its steady throughput."""
    values = zip(objective_names(study), trial.values or (), strict=False)
    numbers: dict[str, float | None] = {objective_key(name): value for name, value in values}
    numbers["steady_samples_per_second"] = trial.samples_per_second
    assert trial.ended_at is not None
    yield from _metrics(numbers, at=trial.ended_at, step=last_epoch)


def verdict_tags(verdict: Verdict | None) -> dict[str, str]:
    """What the confirmation concluded, as tags of the parent run; none where there is no verdict."""
    if verdict is None:
        return {}
    return {
        "verdict": verdict.conclusion,
        "verdict.advice": verdict.advice,
        "verdict.decided_by": verdict.decided_by,
        "verdict.winner": str(verdict.winner),
        "verdict.reference": str(verdict.reference),
        "verdict.trainings": f"{verdict.num_winner} against {verdict.num_reference}",
    }


def verdict_metrics(verdict: Verdict | None, *, at: float) -> "Iterator[Metric]":
    """Each ratio or difference with its interval, as metrics of the parent run; what is infinite is left out."""
    if verdict is None:
        return
    numbers: dict[str, float | None] = {"verdict.optimism": verdict.optimism}
    for quantity in verdict.quantities:
        for end in ("value", "low", "high"):
            numbers[f"verdict.{quantity.name}.{quantity.kind}.{end}"] = getattr(quantity, end)
    finite = {name: value for name, value in numbers.items() if value is not None and math.isfinite(value)}
    yield from _metrics(finite, at=at, step=0)


def objective_names(study: StudyRow) -> tuple[str, ...]:
    """The metrics that the study makes large or small."""
    objectives = json.loads(study.spec_json).get("objectives", [])
    return tuple(objective["metric"] for objective in objectives)


def _metrics(numbers: Mapping[str, float | None], *, at: float, step: int) -> "Iterator[Metric]":
    """The numbers as MLflow's metrics, without those that are None."""
    from mlflow.entities import Metric

    for name, value in numbers.items():
        if value is not None:
            yield Metric(key_of(name), float(value), milliseconds(at), step)


def milliseconds(seconds: float) -> int:
    """Seconds since 1970 as MLflow counts them."""
    return round(seconds * 1000)
