"""The next trial's process, started while the last trial trains, where that leaves cores free.

It sets up what needs neither the device nor the last trial's result: it imports what its allocator needs again, makes
the data sets, and starts the loader's workers, whose first batch then waits. When the last trial has ended, the sampler
proposes the next one as ever. If nothing that the process has looked at is other than was foreseen, it goes on with
that trial; else it is ended, and the trial starts from its beginning.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from autotune.coordinator.ledger import Ledger
from autotune.coordinator.running import Running, Trials
from autotune.events import OnStandby, Scalar, TrialOrder
from autotune.hardware import available_host_bytes, host_memory_bytes, physical_cores
from autotune.trial.launcher import Arrival, TrialProcess
from autotune.trial.leases import DevicePool

_LEAST_GAIN_SECONDS = 0.1
"""A set-up that takes less, and starts no workers and fills no cache, costs the trial beside it as much as it saves
(``benchmarks/between_trials.py``)."""
_LEAST_MEMORY_SHARE = 0.5
"""Share of the host's memory that has to be free: the two processes hold their data sets and batches side by side."""


@dataclass
class _Ahead:
    """A process that was started ahead of its trial."""

    order: TrialOrder
    """What it was told."""
    process: TrialProcess
    is_ready: bool = False
    """It has set up what it can."""
    asked: frozenset[str] | None = None
    """Names of the parameters that it has looked at, once it is ready; None for all."""

    def fits(self, order: TrialOrder) -> bool:
        """Whether what it has set up, or is setting up, is right for this order, too."""
        if not self.is_ready or self.asked is None:
            return order == self.order
        foreseen, wanted = self.order.parameters, order.parameters
        is_alike = order == self.order.model_copy(update={"parameters": wanted})
        return is_alike and all(_found(name, foreseen) == _found(name, wanted) for name in self.asked)


class Standby:
    """Holds at most one process ahead of its trial, in a session that trains one trial at a time.

    Args:
        launcher: Starts and reaches it.
        ledger: Foresees the next trial.
        pool: The session's; a process is started ahead only where it has one lease.
    """

    def __init__(self, launcher: Trials, *, ledger: Ledger, pool: DevicePool) -> None:
        self._launcher = launcher
        self._ledger = ledger
        self._pool = pool
        self._beside: TrialProcess | None = None
        """The trial beside which a process was started, or found to be of no use; each is looked at once."""
        self._ahead: _Ahead | None = None

    def prepare(self, running: Running) -> None:
        """Start the process of the trial that will probably follow this one, which trains; once beside each trial."""
        if self._beside == running.process or running.setup_seconds is None:
            return
        self._beside = running.process
        if self._ahead is not None or self._pool.num_leases > 1:
            return
        if running.is_alone or running.ticket.restarts:  # memory may have run out: it is tried with nothing beside it
            return
        num_free = _free_cores(running, num_cores=self._pool.num_cores)
        if num_free < 1 or available_host_bytes() < _LEAST_MEMORY_SHARE * host_memory_bytes():
            return
        order = self._ledger.order_ahead(running.ticket, lease=running.lease)
        if order is None or _num_workers(order.parameters) > num_free:
            return
        if running.setup_seconds < _LEAST_GAIN_SECONDS and not _begins_loading(order):
            return
        self._ahead = _Ahead(order, self._launcher.launch_ahead(order))

    def hear(self, arrivals: Sequence[Arrival]) -> list[Arrival]:
        """What came from trials that run; what came from the process that waits is taken note of here."""
        others = []
        for arrival in arrivals:
            if self._ahead is None or arrival.process != self._ahead.process:
                others.append(arrival)
            elif isinstance(arrival.event, OnStandby):
                self._ahead.is_ready = True
                self._ahead.asked = None if arrival.event.asked is None else frozenset(arrival.event.asked)
            else:  # it could not be set up, or has died: its trial, started in its turn, will tell why
                self.drop()
        return others

    def launch(self, order: TrialOrder) -> TrialProcess:
        """A process for this order, whose turn has come: the one that waits, where it fits; else that is ended."""
        ahead = self._ahead
        if ahead is None or not ahead.fits(order):
            self.drop()
            return self._launcher.launch(order)
        self._ahead = None
        self._launcher.begin(ahead.process, order=order)
        return ahead.process

    def drop(self) -> None:
        """End the process that waits, if there is one; nothing of it is left."""
        ahead, self._ahead = self._ahead, None
        if ahead is not None:
            self._launcher.kill(ahead.process, grace_seconds=0)


def _found(name: str, parameters: Mapping[str, Scalar]) -> tuple[bool, Scalar]:
    """What who asks for the parameter finds: whether it is there, and its value."""
    return name in parameters, parameters.get(name)


def _begins_loading(order: TrialOrder) -> bool:
    """Whether such a process starts workers or fills a cache before its turn; neither where that would start CUDA."""
    parameters = order.parameters
    is_pinned = bool(parameters.get("pin_memory")) and order.device != "cpu"
    return parameters.get("cache") == "memory" or (_num_workers(parameters) > 0 and not is_pinned)


def _free_cores(running: Running, *, num_cores: int) -> int:
    """How many of the lease's cores the trial leaves free: it takes one for each of torch's threads and each worker."""
    parameters = running.ticket.row.parameters
    if parameters.get("cpu_affinity") == "physical":
        num_cores = len(physical_cores(running.lease.cores)) or num_cores
    is_on_cpu = running.lease.device == "cpu"  # beside a GPU, one thread launches kernels
    threads = int(parameters.get("torch_threads") or num_cores) if is_on_cpu else 1
    return num_cores - threads - _num_workers(parameters)


def _num_workers(parameters: Mapping[str, Scalar]) -> int:
    """Workers of the training loader; what is held whole has none."""
    return int(parameters.get("num_workers") or 0) if parameters.get("cache", "off") == "off" else 0
