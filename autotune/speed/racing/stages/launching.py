"""Steps that wait for launches: what does away with all of them, before anything else is tried."""

from collections.abc import Iterator, Mapping, Sequence

from autotune.events import Scalar
from autotune.speed.knobs.entries import Entry, changed, is_on
from autotune.speed.measuring.arena import Contestant
from autotune.speed.measuring.bottleneck import Diagnosis
from autotune.speed.racing.plan import RacePlan
from autotune.speed.racing.stages.compiling import COMPILE, FOR_LAUNCHES, Compiling, is_compiled

CUDA_GRAPH = "cuda_graph"
_BY_FEWER_DIGITS = 3.0
"""About how much faster a GPU computes with bf16 than with the defaults."""
_MOSTLY = 0.5
"""Share of launches in a step from which on nothing else shows before they are gone."""


class Launching:
    """Names the ways past launches: the whole step as one graph, which costs no start, or a compiled one.

    Args:
        plan: The knobs.
        compiling: Knows whether a run repays it.
    """

    def __init__(self, plan: RacePlan, *, compiling: Compiling) -> None:
        self._plan = plan
        self._compiling = compiling
        self._tried: set[str] = set()

    def ways(
        self,
        setting: Mapping[str, Scalar],
        diagnosis: Diagnosis | None,
        *,
        incumbent: Contestant,
        beside_fewer_digits: bool = False,
    ) -> Iterator[dict[str, Scalar]]:
        """The setting with each way that was not tried yet, where a step mostly waits for launches.

        Args:
            setting: The setting that is to be launched as a whole.
            diagnosis: The incumbent's; None where nobody knows it.
            incumbent: Tells how long a run is.
            beside_fewer_digits: Judge a step as it will be when it computes faster, and does not wait for data.
        """
        if diagnosis is None or is_replayed(setting):
            return
        launch, compute = diagnosis.launch_share, diagnosis.compute_share / _BY_FEWER_DIGITS
        share = launch / (launch + compute or 1.0) if beside_fewer_digits else launch
        if share < _MOSTLY:
            return
        changes: list[tuple[str, Scalar]] = [(CUDA_GRAPH, True)]
        if self._compiling.can_do_away_with_launches(incumbent):
            changes.append((COMPILE, FOR_LAUNCHES))
        for name, value in changes:
            entry = next((entry for entry in self._plan.entries if entry.name == name), None)
            if name in self._tried or entry is None or value not in entry.values:
                continue
            way = changed(setting, name, value, entries=self._plan.entries)
            if way is not None and way != dict(setting):
                self._tried.add(name)
                yield way


def is_replayed(setting: Mapping[str, Scalar]) -> bool:
    """Whether this setting's step is launched as a whole."""
    return is_on(setting.get(CUDA_GRAPH)) or setting.get(COMPILE) == FOR_LAUNCHES


def is_fast_as_a_whole(setting: Mapping[str, Scalar], *, entries: Sequence[Entry]) -> bool:
    """Whether this setting's step was compiled or recorded: what it does not wait for data has one cause."""
    return is_replayed(setting) or is_compiled(setting, entries=entries)
