"""The loader: shuffled by seed and epoch alone, and able to start inside an epoch."""

import multiprocessing
import sys
import time
import warnings
from collections.abc import Callable, Iterator, Sized
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import chain, islice
from typing import Any, Self, TypeAlias

import torch
from torch.utils.data import DataLoader, Dataset, IterableDataset
from typing_extensions import override

from autotune.errors import TaskError
from autotune.events import Scalar
from autotune.spec.learning import DEFAULT_BATCH_SIZE
from autotune.training.batches import Batch
from autotune.training.data.cache import CachedLoader
from autotune.training.data.prefetch import copied_ahead
from autotune.training.data.sample_order import EpochOrder
from autotune.training.parameters import Parameters
from autotune.training.references import ImportedFiles
from autotune.training.reporting.meter import Meter
from autotune.training.rng import seed_loading
from autotune.training.steps.pacing import Restartable

_CPU = torch.device("cpu")

Collate: TypeAlias = Callable[[list[Any]], Batch]


@dataclass(frozen=True)
class LoaderOptions:
    """How batches are made; the same for training and validation data."""

    batch_size: int
    num_workers: int = 0
    prefetch_factor: int | None = None
    persistent_workers: bool = False
    pin_memory: bool = False
    drop_last: bool = False
    in_order: bool = True
    start_method: str | None = None
    """How workers start: ``fork``, ``spawn`` or ``forkserver``; None is fork where there is fork."""
    cache: str = "off"
    device_prefetch: bool = False

    @classmethod
    def of(
        cls, params: Parameters, *, device: torch.device, batch_size: int | None = None, drop_last: bool = False
    ) -> Self:
        """The options that the parameters ask for; a ``batch_size`` that is given here goes before theirs."""
        cache = str(params.get("cache", "off"))
        num_workers = int(params.get("num_workers", 0))
        if cache != "off":  # what is held whole has nothing to be loaded: workers would each hold a copy
            num_workers = 0
        prefetch_factor = params.get("prefetch_factor")
        is_persistent = bool(params.get("persistent_workers", False))
        is_pinned = bool(params.get("pin_memory", False))
        is_prefetched = bool(params.get("device_prefetch", False))
        return cls(
            batch_size=batch_size or int(params.get("batch_size", DEFAULT_BATCH_SIZE)),
            num_workers=num_workers,
            prefetch_factor=int(prefetch_factor) if prefetch_factor is not None and num_workers else None,
            persistent_workers=is_persistent and num_workers > 0,
            pin_memory=is_pinned and device.type == "cuda",
            drop_last=drop_last,
            in_order=bool(params.get("in_order", True)) or num_workers == 0,
            start_method=params.get("worker_start_method"),
            cache=cache,
            device_prefetch=is_prefetched and device.type == "cuda",
        )


class BatchLoader:
    """Batches of a dataset, on the trial's device, with the time that each took measured.

    The order of samples depends on the seed and the epoch, never on the workers. What a
    dataset draws at random (from torch's, numpy's or Python's global generator) is
    reproducible too: in a worker it depends on seed, epoch and the batch's place.
    """

    def __init__(
        self,
        dataset: Dataset[Any],
        *,
        options: LoaderOptions,
        seed: int,
        is_train: bool,
        meter: Meter,
        device: torch.device = _CPU,
        change: Callable[[Batch], Batch] | None = None,
        collate: Collate | None = None,
    ) -> None:
        self.num_samples = _length(dataset)
        self.batch_size = options.batch_size
        self._options = options
        self._device = device
        self._is_train = is_train
        self._meter = meter
        self._change = change
        self._order = EpochOrder(
            self.num_samples,
            batch_size=options.batch_size,
            drop_last=options.drop_last,
            has_workers=options.num_workers > 0,
            seed=seed,
            shuffle=is_train,
        )
        self._loader = _make_loader(dataset, order=self._order, options=options, collate=collate, device=device)
        self._ahead: Iterator[Batch] | None = None
        """The training data's first pass, where it has begun before it was asked for."""

    def __len__(self) -> int:
        """The number of batches in a whole epoch."""
        return len(self._order)

    def __iter__(self) -> Iterator[Batch]:
        """The batches of one epoch, or of the rest of it after a resume inside an epoch."""
        if self._is_train:
            # Batches that come as they are ready have no place in the epoch to go on from.
            return self._meter.watch(
                Restartable(self._begin),
                num_batches=len(self),
                change=None if self._copies_ahead else self._change,
                wind=self._order.aim,
                can_resume=self._options.in_order,
            )
        self._order.aim(self._meter.epochs_done + 1, 0)
        return self._validation_batches()

    def begin_ahead(self) -> None:
        """Start the workers of the first pass now and wait for its first batch, or fill a cache in the host's memory.

        The seconds that it takes count in the first pass. What would start CUDA is left alone: batches that are pinned,
        and a cache on the device.
        """
        began = time.perf_counter()
        if isinstance(self._loader, CachedLoader):
            if self._loader.place == "memory":
                self._loader.fill()
        elif self._options.num_workers > 0 and not self._options.pin_memory:
            self._order.aim(1, 0)
            batches = self._batches()
            first = [*islice(batches, 1)]
            self._ahead = chain(first, batches)
        self._meter.add_ahead(time.perf_counter() - began)

    @property
    def in_force(self) -> dict[str, Scalar]:
        """The loader's knobs, as torch's DataLoader has them."""
        loader = self._loader
        knobs: dict[str, Scalar] = {"device_prefetch": self._copies_ahead}
        if isinstance(loader, CachedLoader):
            return knobs | {"cache": loader.place, "num_workers": 0, "pin_memory": loader.is_pinned}
        knobs |= {"cache": "off", "num_workers": loader.num_workers, "pin_memory": loader.pin_memory}
        if loader.num_workers > 0:
            context = loader.multiprocessing_context
            knobs["prefetch_factor"] = loader.prefetch_factor
            knobs["persistent_workers"] = loader.persistent_workers
            knobs["in_order"] = loader.in_order
            knobs["worker_start_method"] = (context or multiprocessing).get_start_method()
        return knobs

    @property
    def _copies_ahead(self) -> bool:
        """Whether a batch is copied to the device while the step before it trains."""
        # What is on the device already has nothing to be copied.
        is_there = isinstance(self._loader, CachedLoader) and self._loader.place == "device"
        return self._options.device_prefetch and self._change is not None and not is_there

    def _begin(self) -> Iterator[Batch]:
        """Begin a pass at the batch that the order aims at."""
        if self._change is None or not self._copies_ahead:
            return self._batches()
        return copied_ahead(self._batches(), self._change, device=self._device)

    def _batches(self) -> Iterator[Batch]:
        """One pass over the loader, whose workers start here, or the one that has begun ahead."""
        ahead, self._ahead = self._ahead, None
        if ahead is not None and self._order.is_at_start:
            return ahead
        with _quiet_start():
            return iter(self._loader)

    def _validation_batches(self) -> Iterator[Batch]:
        """The batches on the device; progress is told between them."""
        for batch in self._begin():
            yield batch if self._change is None or self._copies_ahead else self._change(batch)
            self._meter.tick()


class _SeededSamples(Dataset[Any]):
    """The samples in a worker, which seeds its generators for each batch, so that its past does not matter."""

    def __init__(self, dataset: Dataset[Any]) -> None:
        self._dataset = dataset
        batched = getattr(dataset, "__getitems__", None)
        self._batched = batched if callable(batched) else None

    @override
    def __getitem__(self, index: int) -> Any:
        return self._dataset[index]

    def __getitems__(self, seeded: tuple[int, list[int]]) -> list[Any]:
        seed, indices = seeded
        seed_loading(seed)
        if self._batched is not None:
            return list(self._batched(indices))
        return [self._dataset[index] for index in indices]


class _SentSamples(_SeededSamples):
    """Seeded samples for a worker that is a new interpreter, which has to import the task's file before."""

    @override
    def __reduce__(self) -> tuple[object, ...]:
        return _unpack, (ImportedFiles.here(), self._dataset)


def _unpack(files: ImportedFiles, dataset: Dataset[Any]) -> _SeededSamples:
    """Make the samples in a worker, after unpickling has imported the task's files."""
    del files  # it has done its work
    return _SeededSamples(dataset)


def _make_loader(
    dataset: Dataset[Any],
    *,
    order: EpochOrder,
    options: LoaderOptions,
    collate: Collate | None,
    device: torch.device,
) -> DataLoader[Any] | CachedLoader:
    """A cache or torch's DataLoader, as the options ask for."""
    if options.cache != "off":
        return CachedLoader(
            dataset,
            order=order,
            place="device" if options.cache == "device" else "memory",
            device=device,
            is_pinned=options.pin_memory,
            collate=collate,
        )
    # A generator of its own: DataLoader draws a base seed for each iterator, and would draw it
    # from the global generator, whose place in the stream would then depend on the number of loaders.
    generator = torch.Generator().manual_seed(0)
    if options.num_workers == 0:
        return DataLoader(
            dataset, batch_sampler=order, collate_fn=collate, pin_memory=options.pin_memory, generator=generator
        )
    start_method = options.start_method or _start_method()
    samples = _SeededSamples if start_method == "fork" else _SentSamples
    with _quiet_start():
        return DataLoader(
            samples(dataset),
            batch_sampler=order,
            collate_fn=collate,
            num_workers=options.num_workers,
            prefetch_factor=options.prefetch_factor,
            persistent_workers=options.persistent_workers,
            pin_memory=options.pin_memory,
            generator=generator,
            multiprocessing_context=start_method,
            in_order=options.in_order,
        )


def _start_method() -> str | None:
    # Python 3.14 starts workers by forkserver, where each imports torch anew for seconds.
    has_fork = sys.platform == "linux" and "fork" in multiprocessing.get_all_start_methods()
    return "fork" if has_fork else None


@contextmanager
def _quiet_start() -> Iterator[None]:
    """Leave out two warnings of a DataLoader that starts its workers.

    One tells of more workers than cores, which the study asked for. The other is Python 3.12's about a fork in a
    process with threads. A worker needs none of the threads that it lost: torch gives it one thread, and it
    neither logs nor reports.
    """
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="This DataLoader will create", category=UserWarning)
        warnings.filterwarnings("ignore", message=".*use of fork", category=DeprecationWarning)
        yield


def _length(dataset: Dataset[Any]) -> int:
    """The number of samples; raises TaskError where the dataset can't be indexed or is empty."""
    kind = type(dataset).__name__
    if isinstance(dataset, IterableDataset) or not isinstance(dataset, Sized):
        raise TaskError(
            f"{kind}: a dataset needs __len__ and __getitem__ here, got neither or one; "
            "give a stream its own DataLoader in a train(trial) function and wrap it in trial.watch"
        )
    if len(dataset) == 0:
        raise TaskError(f"{kind}: a dataset needs at least one sample, got 0")
    return len(dataset)
