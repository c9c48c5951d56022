"""pytorch-autotune 2.0.0 (https://pypi.org/project/pytorch-autotune/) as a contestant beside ours.

Its own search finds the step, and its own ``result.step`` trains it, in the loop that its page shows. The
batches come from our loader, on the device and in the memory format that its winner wants, so that its step
is timed as it times itself.
"""

from pathlib import Path

from autotune.events import Scalar
from autotune.training import Trial
from benchmarks.gpu_tasks import WORKLOADS


def train(trial: Trial) -> None:
    """Search, or take what an earlier process found, and train.

    Reads ``workload``, its sizes, ``budget`` (seconds) and ``report``, the file that the search's report
    goes to.
    """
    from pytorch_autotune import autotune

    task = WORKLOADS[str(trial.params.workload)].task()
    dataset = task.train_data(trial.params)
    batches = trial.loader(dataset, train=True)
    example = task.collate([dataset[index] for index in range(batches.batch_size)])
    result = autotune(
        task.model(trial.params),
        (example[0], example[1]),
        optimizer=str(trial.params.optimizer),
        lr=float(trial.params.lr),
        budget=int(trial.params.budget),
        device=trial.device.type,
        verbose=False,
    )
    report = Path(str(trial.params.report))
    if result.report.trials:  # none where its own cache knew the winner
        report.write_text(result.report.to_json())
    for epoch in range(trial.epochs):
        for inputs, targets in batches:
            result.step(inputs, targets)
        trial.report(epoch + 1, steps=float(len(batches)))


def loader_setting(config: dict[str, Scalar]) -> dict[str, Scalar]:
    """What its batches must be like for the winner that its report names."""
    return {"channels_last": True} if config.get("channels_last") else {}
