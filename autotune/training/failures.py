"""What ends a trial early, said by an exception, and how any exception is said in one line."""


class DivergedError(Exception):
    """The loss or a metric is NaN or infinite; the outcome is *diverged*."""


class InfeasibleError(Exception):
    """A task raises this for a combination of parameters that can't be trained.

    The outcome is *infeasible*: the sampler learns to stay away from such combinations, which
    it would not after a failure.
    """


def one_line(error: BaseException) -> str:
    """Class and message, such as ``ValueError: boom``.

    Of an error in a DataLoader worker it is the worker's own: torch wraps the whole traceback
    in the message.
    """
    lines = str(error).strip().splitlines() or [""]
    if "in DataLoader worker process" in lines[0]:
        return lines[-1].strip()
    return f"{type(error).__name__}: {lines[0]}".removesuffix(": ")
