"""How long a training run is: what it pays once has to be repaid in it."""

from dataclasses import dataclass


@dataclass(frozen=True)
class RunLength:
    """What a run is measured out in; it ends when the first of them is used up."""

    epochs: int = 1
    seconds: float | None = None
    samples: int | None = None

    def steps(self, *, steps_per_epoch: int | None, step_seconds: float | None, samples_per_step: float | None) -> int:
        """Steps of a run; 0 where what it is measured out in can't be counted in steps.

        Args:
            steps_per_epoch: Batches of a pass over the data; None where the loader does not tell.
            step_seconds: What a step of the training takes; None where it was not recorded.
            samples_per_step: What a step of the training takes in; None where it was not recorded.
        """
        limits: list[float] = []
        if steps_per_epoch is not None:
            limits.append(self.epochs * steps_per_epoch)
        if self.seconds is not None:
            limits.append(self.seconds / step_seconds if step_seconds else 0)
        if self.samples is not None:
            limits.append(self.samples / max(1.0, samples_per_step) if samples_per_step else 0)
        return int(min(limits, default=0))
