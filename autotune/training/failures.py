"""What ends a trial early, said by an exception, and how any exception is said in one line."""

import traceback
from collections.abc import Iterator

from autotune.errors import TaskError

_LOST_WORKER_MESSAGES = ("is killed by signal: Killed", "exited unexpectedly")
_LEFT_BY_ITSELF = "exited unexpectedly with exit code"
_LOADER = "torch/utils/data/dataloader.py"
_KERNEL_MESSAGES = (
    # scaled_dot_product_attention, where the one backend that ``sdpa_backend`` leaves can't serve the model
    "No available kernel",
    "No viable backend",
    # ``precision``: an operation of the model has no kernel of so few digits, or torch warns it off
    "not implemented for 'Half'",
    "not implemented for 'BFloat16'",
    "unsafe to autocast",
    # ``optimizer`` and ``optimizer_impl``, for the gradients that the model gives (torch.optim 2.13)
    "does not support dense gradients",
    "does not support sparse grad",
    "not compatible with sparse gradients",
    "does not support complex parameters",
    "`fused=True` requires all the params",
)
"""What torch says of a combination for which it has nothing that computes it."""
_COMPILER_MODULES = frozenset({"torch._dynamo.exc", "torch._inductor.exc"})
SINGLE_SAMPLE = "Expected more than 1 value per channel when training"
"""What BatchNorm says of a batch of one sample (torch/nn/functional.py, _verify_batch_size)."""


class DivergedError(Exception):
    """The loss or a metric is NaN or infinite; the outcome is *diverged*."""


class CrowdedError(TaskError):
    """Other processes hold all of the device's memory, so that this one can't begin.

    It interrupts a trial, which goes on later.
    """


class FencedError(Exception):
    """Another process trains this trial now, since this one was stopped and its coordinator lost the study."""


class InfeasibleError(Exception):
    """A task raises this for a combination of parameters that can't be trained.

    The outcome is *infeasible*: the sampler learns to stay away from such combinations, which
    it would not after a failure.
    """


def one_line(error: BaseException) -> str:
    """The error's class and the first line of its message, such as ``ValueError: boom``.

    For an error in a DataLoader worker it is the worker's own class and message: torch wraps the worker's whole
    traceback in the message of another error.
    """
    lines = str(error).strip().splitlines() or [""]
    if "in DataLoader worker process" in lines[0]:
        return lines[-1].strip()
    return f"{type(error).__name__}: {lines[0]}".removesuffix(": ")


def is_killed_worker(error: BaseException) -> bool:
    """Whether a DataLoader worker was killed by signal 9, by the kernel for memory or by anybody.

    torch names the signal where it notices at once, and says that a worker exited where it notices late. A batch
    that was on its way from the worker breaks off with another error.
    """
    said = [str(each) for each in _chain(error) if isinstance(each, RuntimeError) and "DataLoader worker" in str(each)]
    if any(_LEFT_BY_ITSELF in text for text in said):
        return False
    if any(words in text for text in said for words in _LOST_WORKER_MESSAGES):
        return True
    frames = traceback.walk_tb(error.__traceback__)
    return isinstance(error, ConnectionError | EOFError) and any(
        frame.f_code.co_filename.endswith(_LOADER) for frame, _ in frames
    )


def _chain(error: BaseException) -> Iterator[BaseException]:
    """The error, and those that it was raised from (``raise ... from``)."""
    seen: BaseException | None = error
    while seen is not None:
        yield seen
        seen = seen.__cause__


def is_unsupported(error: BaseException) -> bool:
    """Whether torch can't compute or compile this model in the way that the parameters ask for."""
    if any(kind.__module__ in _COMPILER_MODULES for kind in type(error).__mro__):
        return True
    if isinstance(error, ValueError):
        return SINGLE_SAMPLE in str(error)
    return isinstance(error, RuntimeError) and any(words in str(error) for words in _KERNEL_MESSAGES)
