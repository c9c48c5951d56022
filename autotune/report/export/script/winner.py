"""One trial with its task's source, from which a script is written."""

from collections.abc import Mapping
from dataclasses import dataclass

from autotune.errors import RunError
from autotune.events import EpochReport, Scalar
from autotune.goals import Resource
from autotune.hardware import Machine
from autotune.recording.rows import TrialRow
from autotune.report.export.script.task_source import STOOD_IN, TaskSource, read_task_source
from autotune.report.summaries.record import StudyRecord

OWN_NAMES = frozenset(
    {
        *STOOD_IN,
        *("Batches", "EpochOrder", "Factor", "HeldWhole", "MuonWithAdamW", "SeededSamples"),
        *("PARAMETERS", "SEED", "EPOCHS", "STEPS", "DEVICE", "SCALER", "STEPPED"),
        *("mover", "change_tensors", "_like", "_slice", "_first_tensor", "_one_cycle", "_between"),
        *("derive_seed", "seed_everything", "seed_loading", "undisturbed_rng", "list_tensors", "micro_batches"),
        *("add_times", "made_outside"),
        "embeddings_of",
        *(
            "prepare",
            "make_optimizer",
            "make_scheduler",
            "autocast",
            "accumulator",
            "backward",
            "step",
            "training_step",
            "main",
            "train",
        ),
        *(
            "CudaRecorder",
            "HostState",
            "StepGraph",
            "Step",
            "Recorder",
            "make_recordable",
            "is_all_tensors",
            "one_line",
            "nesting",
            "is_out_of_memory",
            "Glance",
            "SeenTensor",
            "read_state",
            "complete_momentum",
            "first_difference",
        ),
    }
)
"""Names that a script defines at its top; a task's module that defines one of them can't be put into it."""


@dataclass(frozen=True, kw_only=True)
class Winner:
    """One trial as a script repeats it."""

    study: str
    trial: TrialRow
    reports: tuple[EpochReport, ...]
    metrics: Mapping[str, float]
    """The objectives' values at the last epoch."""
    resource: Resource
    schedule_epochs: int
    """Epochs that the learning-rate schedule is planned for; the trial may have ended earlier."""
    task: TaskSource
    machine: Machine | None

    @property
    def parameters(self) -> Mapping[str, Scalar]:
        """The trial's parameters."""
        return self.trial.parameters

    @property
    def device(self) -> str:
        """``cpu`` or ``cuda``, without the GPU's number, which was its lease's."""
        return (self.trial.device or "cpu").partition(":")[0]

    @property
    def epochs(self) -> int:
        """Epochs that it was trained for."""
        return self.reports[-1].epoch

    @property
    def steps(self) -> int | None:
        """Optimizer steps after which it ends; None where whole epochs are counted."""
        return None if self.resource == "epochs" else self.reports[-1].step

    @property
    def num_workers(self) -> int:
        """Workers of its loaders; 0 where the data is cached."""
        wanted = self.trial.in_force.get("num_workers", self.parameters.get("num_workers", 0))
        return int(wanted or 0)

    @property
    def is_cached(self) -> bool:
        """Whether its whole data was held in memory."""
        return self.parameters.get("cache", "off") != "off"

    @property
    def is_recorded(self) -> bool:
        """Whether its steps were recorded as CUDA graphs."""
        return self.trial.in_force.get("cuda_graph") is True

    @property
    def micro_batches(self) -> int:
        """Parts that a batch was cut into, at the end of the trial."""
        return int(self.trial.in_force.get("accumulate", 1) or 1)


def find_winner(record: StudyRecord, *, number: int) -> Winner:
    """The trial with its task's source.

    Raises:
        RunError: It reported nothing, or its task can't stand in a script.
    """
    trial = next(row for row in record.trials if row.number == number)
    reports = record.reports[number]
    if not reports:
        raise RunError(f"trial {number}: a script repeats what was reported, got no report; choose another trial")
    task = read_task_source(record.study.task)
    taken = task.names & OWN_NAMES - {task.name}
    if taken:
        raise RunError(
            f"task {record.study.task}: a script has names of its own, got {', '.join(sorted(taken))}; rename"
        )
    environment = record.environments.get(trial.environment_id) if trial.environment_id is not None else None
    last = reports[-1].metrics
    return Winner(
        study=record.study.name,
        trial=trial,
        reports=reports,
        metrics={name: last[name] for name in record.metrics if name in last},
        resource=record.spec.budget.resource,
        schedule_epochs=record.spec.budget.epochs,
        task=task,
        machine=environment.machine if environment else None,
    )
