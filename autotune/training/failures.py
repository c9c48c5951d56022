"""What ends a trial early, said by an exception."""


class DivergedError(Exception):
    """The loss or a metric is NaN or infinite; the outcome is *diverged*."""


class InfeasibleError(Exception):
    """A task raises this for a combination of parameters that can't be trained.

    The outcome is *infeasible*: the sampler learns to stay away from such combinations, which
    it would not after a failure.
    """
