"""Whether a training has any attention that ``sdpa_backend`` could choose an implementation for."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from torch._C._autograd import _profiler_enabled
from torch.autograd.profiler import profile, record_function

_NAME = "scaled_dot_product"
"""In the names of all operators of torch's attention, whichever implementation runs."""
_END = "autotune::end_of_look"
"""Recorded last: where it is missing, a profiler of the user's has seen the step in place of ours."""


class AttentionWatch:
    """Looks at one step for torch's operators of attention.

    torch's profiler sees them wherever they are called from: Python, torch's layers, a compiled or a scripted model. A
    mode of ``torch.overrides`` was rejected: it would be compiled with the steps of a loop that compiles by itself.

    Args:
        is_wanted: Whether to look; otherwise nothing is known.
    """

    def __init__(self, *, is_wanted: bool) -> None:
        self._is_to_look = is_wanted
        self.has_seen_none = False
        """A step was looked at, and had no attention."""

    @contextmanager
    def over_first_step(self) -> Iterator[None]:
        """Look at what runs in the block, if it is the first, and if no profiler of the user's does."""
        is_first, self._is_to_look = self._is_to_look, False
        if not is_first or _profiler_enabled():
            yield
            return
        with ExitStack() as look:
            profiler = look.enter_context(profile(use_kineto=False))
            try:
                yield
            finally:
                if not _profiler_enabled():  # one that the user started meanwhile has taken its place, and has ended
                    look.pop_all()
                with record_function(_END):
                    pass
        names = {event.name for event in profiler.function_events or ()}
        self.has_seen_none = _END in names and not any(_NAME in name for name in names)
