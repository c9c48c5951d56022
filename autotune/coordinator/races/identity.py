"""What must be the same for the result of a race to hold: by this, races are found again."""

import hashlib
import json
from collections.abc import Mapping, Sequence

from autotune.coordinator.workloads import Workload
from autotune.events import Scalar
from autotune.search.space import SearchSpace
from autotune.spec.model import StudySpec
from autotune.spec.source import find_source, source_digest


class RaceIdentity:
    """The task with its source, what is raced from where, and the device that it is raced on.

    Args:
        spec: Names the task and the speed parameters.
        space: The spec's, as it is on this machine.
        values: What each knob may be in a race.
        decisive: Fixed speed parameters that decide what a raced one means.
        device: ``cpu`` or ``cuda``, where contestants train.
        num_cores: Cores that each of them has.
    """

    def __init__(
        self,
        spec: StudySpec,
        *,
        space: SearchSpace,
        values: Mapping[str, Sequence[Scalar]],
        decisive: Mapping[str, Scalar],
        device: str,
        num_cores: int,
    ) -> None:
        self._task = spec.task
        self._source = source_digest(spec.task)
        self._values = values
        # A race that did not know of what is decisive passed over what depends on it: what it found is not the answer.
        self._baseline = {**{name: value for name, value in space.baseline.items() if name in values}, **decisive}
        named = {name: value for name, value in space.fixed.items() if name in spec.speed}
        single = {parameter.name: parameter.choices[0] for parameter in space.speed if len(parameter.choices) == 1}
        self._fixed = {**named, **single}
        self._device = device
        self._num_cores = num_cores

    def digest(self, workload: Workload) -> str:
        """32 hex digits, the same for a workload as long as a result of its race holds.

        How long a run is does not change them: of a winner, runs have what they repay (``speed/racing/repayment.py``).
        The source is the task's file and what it imports of its own (``spec/source.py``). A change of its data, of
        an installed package that is not torch, or of a file that it reads is not seen.
        """
        text = json.dumps([workload.digest, self._source, self._values, self._baseline, self._fixed], sort_keys=True)
        return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()

    def is_of(self, workload: Workload) -> bool:
        """Whether a workload is the task's, and trains as here: on this device, with as many cores."""
        is_here = (workload.device, workload.num_cores) == (self._device, self._num_cores)
        return is_here and (workload.task == self._task or self._may_be_moved(workload.task))

    def _may_be_moved(self, task: str) -> bool:
        """Whether a task that is in its place no more may be this one; its digest tells."""
        names = (each.rpartition(":")[2] for each in (task, self._task))
        return self._source is not None and len({*names}) == 1 and find_source(task) is None
