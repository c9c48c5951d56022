"""What an informed user sets without measuring: the one-liners of every performance guide."""

from collections.abc import Mapping, Sequence

from autotune.events import Scalar
from autotune.speed.knobs.entries import Entry, changed

_GUIDE: tuple[tuple[str, tuple[Scalar, ...]], ...] = (
    ("fp32_precision_matmul", ("tf32",)),
    ("fp32_precision_conv", ("tf32",)),
    ("precision", ("bf16",)),
    ("channels_last", (True,)),
    ("cudnn_benchmark", (True,)),
    ("optimizer_impl", ("fused", "foreach")),
    ("pin_memory", (True,)),
)
"""Knobs with their values, the best first (https://docs.pytorch.org/tutorials/recipes/recipes/tuning_guide.html)."""


def informed_guess(baseline: Mapping[str, Scalar], *, entries: Sequence[Entry], num_cores: int) -> dict[str, Scalar]:
    """The informed setting without what starts slowly: a race may well begin with it.

    cuDNN's search took 8 to 12 s of every start on an H100 and an H200, which a race pays many times.
    """
    quick = [entry for entry in entries if not entry.knob.is_slow_to_start]
    return informed_setting(baseline, entries=quick, num_cores=num_cores)


def informed_setting(baseline: Mapping[str, Scalar], *, entries: Sequence[Entry], num_cores: int) -> dict[str, Scalar]:
    """The baseline with the guides' one-liners, as far as they apply here and take part in the race.

    TF32 or bf16, channels_last, cuDNN's search, a fused optimizer, pinned memory, and as many workers as cores, which
    stay from one epoch to the next: in short epochs their starts would cost more than they gain.
    """
    known = {entry.name: entry for entry in entries}
    setting = dict(baseline)
    workers = max((v for v in _values(known, "num_workers") if isinstance(v, int) and v <= num_cores), default=0)
    for name, values in (*_GUIDE, ("num_workers", (workers,)), ("persistent_workers", (True,))):
        value = next((value for value in values if value in _values(known, name)), None)
        wanted = changed(setting, name, value, entries=entries) if value is not None else None
        if wanted is not None:
            setting = wanted
    return setting


def _values(known: Mapping[str, Entry], name: str) -> tuple[Scalar, ...]:
    """The values of this knob that are raced; none where it does not take part."""
    return known[name].values if name in known else ()
