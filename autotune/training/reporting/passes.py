"""The passes over the training data that an epoch has, one after the other or side by side."""


class Passes:
    """The passes of one epoch, and the seconds in which at least one was open.

    Passes are told apart by numbers. Of passes side by side, as in ``zip``, a step takes one batch of each at most, and
    their time counts once.

    Attributes:
        count: Passes that have begun in the epoch, or gone on in it.
        ended: When the last pass ended that has; None before.
    """

    def __init__(self, *, seconds: float = 0.0) -> None:
        """None is open; ``seconds`` were measured before."""
        self.count = 0
        self.ended: float | None = None
        self._seconds = seconds
        self._open: set[int] = set()
        self._began: float | None = None
        """When the first of the open passes began; None while none is open."""
        self._in_step: set[int] = set()
        """Those open passes that gave a batch of the newest step."""

    def open(self, number: int, *, at: float) -> None:
        """A pass begins, or goes on from the epoch before."""
        self.count += 1
        self._open.add(number)
        if self._began is None:
            self._began = at

    def has_open(self, number: int) -> bool:
        """Whether the pass is open in this epoch."""
        return number in self._open

    def close(self, number: int, *, at: float) -> None:
        """An open pass is over; its seconds are added up once no other one is open."""
        self._open.discard(number)
        self._in_step.discard(number)
        self.ended = at
        if not self._open and self._began is not None:
            self._seconds += at - self._began
            self._began = None

    def take_batch(self, number: int) -> bool:
        """The pass gives a batch; whether a step begins with it, as one of the pass was in the newest step already."""
        is_new_step = not self._in_step or number in self._in_step
        if is_new_step:
            self._in_step.clear()
        self._in_step.add(number)
        return is_new_step

    def seconds(self, now: float) -> float:
        """Seconds up to ``now`` in which a pass was open."""
        return self._seconds + (now - self._began if self._began is not None else 0.0)
