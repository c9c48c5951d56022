"""Adds to a spec without a speed section every knob that a race tries by default."""

from collections.abc import Mapping
from dataclasses import replace

from autotune.events import Scalar
from autotune.spec.load import SpecFile
from autotune.spec.model import Parameter
from autotune.speed.knobs.knob import Knob


def with_raced_knobs(file: SpecFile, *, knobs: Mapping[str, Knob]) -> SpecFile:
    """The spec as it is raced; unchanged if it names knobs, or if the sampler chooses them."""
    if file.spec.speed or file.spec.speed_search.name != "race":
        return file
    speed = {name: _searched(knob) for name, knob in knobs.items() if knob.is_raced and name not in file.spec.learning}
    return replace(file, spec=file.spec.model_copy(update={"speed": speed}))


def _searched(knob: Knob) -> Parameter | Scalar:
    if knob.has_auto:
        return Parameter(type="int", low=knob.low, high="auto")
    return Parameter(type="choices", choices=knob.choices or tuple(dict.fromkeys((knob.simplest, *knob.raced))))
