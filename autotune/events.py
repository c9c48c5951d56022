"""What a trial process and its coordinator say to each other.

Events cross a pipe as one JSON text each, so that what user code sends is checked when it
arrives and can't execute anything in the coordinator.
"""

from enum import StrEnum
from typing import Annotated, Literal, TypeAlias

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter

from autotune.goals import Resource, Target
from autotune.shortages import Shortage

Scalar: TypeAlias = bool | int | float | str | None
"""A value of a parameter, as it is stored and shown."""

QUOTA = "checkpoints.max_bytes"
"""The spec's bound on what all checkpoints of a study take."""


class Outcome(StrEnum):
    """How a trial ended."""

    COMPLETE = "complete"
    PRUNED = "pruned"
    DIVERGED = "diverged"
    INFEASIBLE = "infeasible"
    TIMED_OUT = "timed out"
    FAILED = "failed"
    INTERRUPTED = "interrupted"


class _Event(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", ser_json_inf_nan="constants")


class OnStandby(_Event):
    """A process that was started ahead of its trial has set up what it can, and waits for a Go."""

    kind: Literal["on_standby"] = "on_standby"
    asked: tuple[str, ...] | None
    """Names of the parameters on which depends what it has set up, those that are absent included; None for all."""


class Go(_Event):
    """The coordinator tells a process that was started ahead that its trial's turn has come."""

    kind: Literal["go"] = "go"
    parameters: dict[str, Scalar]
    """All parameters of the trial; those that the process has asked for are as it had them."""


class Started(_Event):
    """Training starts now; what is in force was read back from torch, not assumed."""

    kind: Literal["started"] = "started"
    in_force: dict[str, Scalar]
    device: str
    epochs_done: int = 0
    """Epochs that a checkpoint brought along; 0 for a fresh start."""
    setup_seconds: float
    """From the trial process's first line to its first batch asked for, without waiting for the trial's turn."""
    num_parameters: int | None = None
    """Trainable parameters of the model; None where the task keeps its model to itself."""


class Adjusted(_Event):
    """The training changed on its own what is in force: smaller micro-batches, where memory ran out."""

    kind: Literal["adjusted"] = "adjusted"
    in_force: dict[str, Scalar]
    """All that is in force from now on, as in Started."""
    reason: str


class Unsaved(_Event):
    """A file of the trial can't be written, or can be written again; told when that changes."""

    kind: Literal["unsaved"] = "unsaved"
    file: Literal["checkpoint", "log"] = "checkpoint"
    problem: str | None
    """Cause and file; None when it is written again."""

    @property
    def in_words(self) -> str:
        """What a person is told, with what to do about it."""
        if self.problem is None:
            return f"its {self.file} is written again"
        if self.file == "log":
            return f"what it prints is lost: {self.problem}; make room, and its log goes on"
        remedy = f"raise {QUOTA}" if self.problem.startswith(QUOTA) else "make room, and its next epoch writes one"
        return f"it trains on without its checkpoint: {self.problem}; {remedy}"


class Progress(_Event):
    """Where the trial is within its epoch; for display only, never recorded."""

    kind: Literal["progress"] = "progress"
    epoch: int
    """The epoch in training, counted from 1."""
    fraction: float
    """Share of this epoch that is done, 0 to 1."""
    samples_per_second: float
    data_wait_share: float


class EpochReport(_Event):
    """One finished epoch. A repeated report of an epoch (after a resume) is the same row."""

    kind: Literal["report"] = "report"
    epoch: int
    """Epochs trained so far: 1 after the first. This is Optuna's step and MLflow's step."""
    step: int
    """Optimizer steps taken so far."""
    metrics: dict[str, float]
    """``train_loss``, ``val_loss``, ``val_...`` of the task, and whatever a user reports."""
    lr: float | None = None
    samples: int
    """Training samples seen in this epoch."""
    seconds: float
    """Wall-clock seconds of training in this epoch, without evaluation."""
    evaluation_seconds: float = 0.0
    samples_per_second: float
    step_seconds_p50: float | None = None
    step_seconds_p95: float | None = None
    data_wait_share: float
    """Share of ``seconds`` that the loop waited for the next batch, 0 to 1."""
    peak_memory_bytes: int
    """Most memory held so far: of the device, or of the process where the device is a CPU."""
    device_utilisation: float | None = None
    """Share of time that the device was busy, 0 to 1, where NVML tells."""
    power_watts: float | None = None
    trained_seconds: float | None = None
    """Seconds since the trial's first batch was asked for, evaluation and compilation included, over all
    its processes, without the time between them. None in rows of earlier versions."""
    trained_samples: int | None = None
    """Training samples seen since the trial's first batch. None in rows of earlier versions."""
    at: float
    """Seconds since 1970 at the end of the epoch, on the trial's clock."""


class Finished(_Event):
    """The trial's last word. ``INTERRUPTED`` says that a checkpoint is there to go on from."""

    kind: Literal["finished"] = "finished"
    outcome: Outcome
    reason: str | None = None
    """One line: error class and message, or what stopped it."""
    traceback: str | None = None
    """The last lines of the traceback, where the task's code raised."""
    samples_per_second: float | None = None
    """Throughput over the steady part: the first epoch of this process is left out if there are more."""
    unread_parameters: tuple[str, ...] = ()
    """Parameters that neither the task nor the loop looked at; usually a misspelt name."""
    is_out_of_memory: bool = False
    """The trial is infeasible because memory ran out, or the kernel killed it for that: larger batches will not fit."""
    shortage: Shortage | None = None
    """The memory that the trial ran out of by itself, which makes it infeasible; None where it did not."""
    is_killed_worker: bool = False
    """The trial is interrupted because a DataLoader worker was killed, most often for the host's memory."""
    is_crowded: bool = False
    """The trial is interrupted because others hold memory that it needs; its own size may be no problem."""
    is_too_short: bool = False
    """A contestant's training came to its end while the race went on."""


class Stop(_Event):
    """The coordinator tells the trial to stop at the next step boundary."""

    kind: Literal["stop"] = "stop"
    outcome: Literal[Outcome.PRUNED, Outcome.INTERRUPTED]
    """INTERRUPTED: write a checkpoint first, the trial will go on later. PRUNED: it will not."""
    reason: str


class Rehearsal(_Event):
    """What a task turned out to have, when one small batch went through it; no event of a trial."""

    kind: Literal["rehearsal"] = "rehearsal"
    metric_names: tuple[str, ...]
    """Names that the task's reports will have; empty for a function task, which is only inspected."""
    num_train_samples: int | None = None
    num_validation_samples: int | None = None
    checkpoint_bytes: int | None = None
    """About what a checkpoint takes: the model, and two moments of each trainable parameter."""
    batch: str | None = None
    """The batch that was tried, in words, such as ``inputs (8, 1, 28, 28) float32``."""


Feed: TypeAlias = Literal["real", "cached", "half"]
"""Where a block's batches come from: the loader; one batch that stays on the device; the first half of that batch."""


UNREAD = "unused by the task"
"""What a contestant tells of a parameter that its training has not asked for until it is warm, or has nothing for: it
trains as it would without."""


class Warmed(_Event):
    """A contestant of a race is ready for its first block: compilation, searches and the first queue are over."""

    kind: Literal["warmed"] = "warmed"
    in_force: dict[str, Scalar]
    """What its parameters came to; ``UNREAD`` for one that has no effect."""
    device: str
    start_seconds: float
    """Time from the first batch asked for to the end of the warm-up, minus the time of as many warm steps: what a
    training run pays once (compilation, cuDNN's search, filling a cache, starting workers)."""
    epoch_start_seconds: float
    """What each epoch costs beyond its steps: the wait for its first batch after the end of the epoch before, minus the
    wait for a batch in the middle of an epoch."""
    steps_per_epoch: int | None
    """Batches in one pass over the data; None where the loader has no length."""
    peak_memory_bytes: int
    held_memory_bytes: int | None = None
    """Bytes of a CUDA device that the waiting contestant's allocator keeps. Less than the peak where cuDNN's search
    used workspaces that were freed. None on a CPU, where processes share memory."""


class RunBlock(_Event):
    """The coordinator tells a contestant to train a block; answered by a Block."""

    kind: Literal["run_block"] = "run_block"
    seconds: float
    """Least wall-clock length of the block."""
    min_steps: int
    feed: Feed = "real"


class Block(_Event):
    """One timed block of training steps, with one synchronisation of the device at its end."""

    kind: Literal["block"] = "block"
    feed: Feed
    steps: int
    samples: int
    seconds: float
    """Wall clock, from asking for the first step's batch until the device has done the last step."""
    data_wait_seconds: float
    """Part of ``seconds`` spent waiting for the loader; on a CUDA device only the time in which the device was idle."""
    fetch_seconds: float = 0.0
    """Time that the host spent in the loader; a device that is still busy may hide a part of it."""
    copy_seconds: float
    """Part of ``seconds`` spent copying batches to the device."""
    compute_seconds: float
    """Part of ``seconds`` spent in forward and backward, and in the optimizer where ``optimizer_seconds`` is None."""
    optimizer_seconds: float | None
    """Part of ``seconds`` spent in the optimizer's step, with clipping and clearing of gradients. None where it can't
    be timed alone: the whole step is one call, such as a CUDA graph, or the loop does not use ``trial.step``."""
    first_step: int = 0
    """Training steps between the seed's initial weights and this block. Warm-up steps don't count where the loop hands
    its objects to ``trial.checkpoint.restore``, since the initial weights are then put back."""
    losses: tuple[float, ...] = ()
    """The training losses of the first 10,000 steps, in order; empty where the loop does not use ``trial.backward``."""
    peak_memory_bytes: int = 0
    """Most memory held so far: of the device, or of the process where the device is a CPU."""
    allocator_retries: int = 0
    """How often CUDA's allocator had to free its cache and try again in this block."""
    recompilations: int = 0
    """Graphs that torch.compile made in this block; a warm block has none."""
    load: float | None = None
    """The host's load average over the last minute, at the block's start."""
    clock_mhz: float | None = None
    """Clock of the GPU's multiprocessors, else of the CPU, at the block's end; None where it can't be read."""
    temperature_celsius: float | None = None
    """Temperature of the GPU at the block's end; None where it can't be read."""


Event: TypeAlias = OnStandby | Go | Started | Adjusted | Unsaved | Progress | EpochReport | Finished | Stop
RaceEvent: TypeAlias = Warmed | RunBlock | Block | Finished
"""What a contestant and the coordinator say to each other; a Finished tells why it can't go on."""

_event: TypeAdapter[Event] = TypeAdapter(Annotated[Event, Field(discriminator="kind")])
_race_event: TypeAdapter[RaceEvent] = TypeAdapter(Annotated[RaceEvent, Field(discriminator="kind")])


def encode(event: _Event) -> bytes:
    """The event as one JSON text."""
    return event.model_dump_json().encode()


def decode(text: bytes) -> Event:
    """The event that ``encode`` wrote; raises pydantic.ValidationError on anything else."""
    return _event.validate_json(text)


def decode_race(text: bytes) -> RaceEvent:
    """The event of a race that ``encode`` wrote; raises pydantic.ValidationError on anything else."""
    return _race_event.validate_json(text)


class TrialOrder(_Event):
    """Everything that a trial process needs to train; JSON, like the events."""

    study: str
    number: int
    task: str
    """``package.module:Name`` or ``path/to/file.py:Name``."""
    parameters: dict[str, Scalar]
    """Learning and speed parameters that are active; what is absent keeps torch's default."""
    objective_metrics: tuple[str, ...]
    """Metrics of the task that every report must hold."""
    targets: tuple[Target, ...] = ()
    """The trial is complete when it has seen all of them, and pruned when it ends before."""
    epochs: int
    """Epochs of a whole trial; the most that it may have where its length is counted in seconds or samples."""
    resource: Resource = "epochs"
    per_trial: int | None = None
    """Seconds or samples of a whole trial; None where epochs are counted."""
    seed: int
    device: str
    """``cpu``, ``cuda``, ``cuda:0``; within the devices that the lease made visible."""
    visible_devices: str | None = None
    """CUDA_VISIBLE_DEVICES of the trial; None leaves the variable as it is."""
    cores: tuple[int, ...] = ()
    """CPU cores of the lease, set as affinity; empty leaves the affinity as it is."""
    folder: str
    """Absolute path of the trial's own folder; holds ``checkpoint.pt`` and ``trial.log``."""
    max_checkpoint_bytes: int | None = None
    """Limit on the bytes of all the study's checkpoints together; None for no limit."""
    max_log_bytes: int = 4 * 1024 * 1024
