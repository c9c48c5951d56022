"""The trial as user code sees it; our own loop is written on nothing else."""

from autotune.training.parameters import Parameters


class Trial:
    """One training run: parameters, device, loader, optimizer, reports and checkpoints."""

    params: Parameters
    number: int
    epochs: int
    seed: int

    def report(self, epoch: int, **metrics: float) -> None:
        """Tell the metrics of a finished epoch, counted from 1."""
        raise NotImplementedError

    def should_stop(self) -> bool:
        """Whether the coordinator asked this trial to stop."""
        raise NotImplementedError
