"""Tasks that are raced: one that meets a fault on its way, one whose loader burns time, a loop of its own."""

import ctypes
import fcntl
import os
import signal
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import psutil
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset, TensorDataset

from autotune.training import InfeasibleError, Task, Trial
from autotune.training.parameters import Parameters


def _raise(error: BaseException) -> None:
    raise error


def _kill_workers() -> None:
    for child in psutil.Process().children():
        child.kill()
    time.sleep(600)  # torch ends this, once it hears of a worker


FAULTS: Mapping[str, Callable[[], object]] = {
    "out of the host's memory": lambda: _raise(MemoryError()),
    "out of the device's memory": lambda: _raise(torch.OutOfMemoryError("CUDA out of memory. Tried to allocate")),
    "out of a library's memory": lambda: _raise(
        RuntimeError("cuDNN error: CUDNN_STATUS_INTERNAL_ERROR_DEVICE_ALLOCATION_FAILED")
    ),
    "out of shared memory": lambda: _raise(RuntimeError("insufficient shared memory (shm)")),
    "unsupported": lambda: _raise(InfeasibleError("no such kernel here")),
    "no memory format": lambda: _raise(RuntimeError("No available kernel. For this memory format. Aborting")),
    "error": lambda: _raise(ValueError("no such layer")),
    "leave": lambda: os._exit(3),
    "segfault": lambda: ctypes.string_at(0),
    "killed": lambda: os.kill(os.getpid(), signal.SIGKILL),
    "worker killed": _kill_workers,
    "hang": lambda: time.sleep(600),
    "pause": lambda: time.sleep(1),
}


class Faulty(Task):
    """Meets the fault that its parameter names at the step that another one says."""

    num_steps = 0

    def train_data(self, params: Parameters) -> Dataset[Any]:
        self.params = params
        return TensorDataset(torch.randn(40, 4), torch.zeros(40, dtype=torch.int64))

    def validation_data(self, params: Parameters) -> Dataset[Any]:
        return self.train_data(params)

    def model(self, params: Parameters) -> nn.Module:
        return nn.Linear(4, 2)

    def forward(self, model: nn.Module, batch: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
        if self.num_steps == self.params.get("fault_step", -1):
            if self.params.fault == "tell":
                raise ValueError(f"no access with {self.params.api_key}")
            FAULTS[str(self.params.fault)]()
        self.num_steps += 1
        return super().forward(model, batch)


class Large(Faulty):
    """Holds a share of the GPU beside its model, and pauses in each step."""

    def model(self, params: Parameters) -> nn.Module:
        self.pause_seconds = float(params.get("pause", 40)) / 1000
        _, total = torch.cuda.mem_get_info()
        self._held = torch.empty(int(float(params.device_share) * total), dtype=torch.uint8, device="cuda")
        return super().model(params)

    def forward(self, model: nn.Module, batch: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
        time.sleep(self.pause_seconds)
        return super().forward(model, batch)


class Exclusive(Faulty):
    """Takes the whole device, which is a file that one process at a time can have; the fault waits for its turn.

    With ``faulty_start`` the fault comes at that start of this setting, counted from 0, and at each later one.
    """

    def model(self, params: Parameters) -> nn.Module:
        self.pause_seconds = float(params.get("pause", 4)) / 1000
        self._device = Path(str(params.device_file)).open("a")  # noqa: SIM115 - held as long as the process lives
        try:
            fcntl.flock(self._device, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate") from None
        starts = Path(f"{params.device_file}.{params.get('pause', 4)}")
        number = len(starts.read_bytes()) if starts.exists() else 0
        with starts.open("ab") as file:
            file.write(b".")
        if params.get("faulty_pause") == params.get("pause", 4) and number >= int(params.faulty_start):
            FAULTS[str(params.fault)]()
        return super().model(params)

    def forward(self, model: nn.Module, batch: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
        time.sleep(self.pause_seconds)
        return super().forward(model, batch)


class Busy(Dataset[tuple[Tensor, Tensor]]):
    """Each sample keeps a core busy for a while."""

    def __len__(self) -> int:
        return 100_000

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        ends = time.perf_counter() + 0.002
        while time.perf_counter() < ends:
            pass
        return torch.full((4,), float(index)), torch.tensor(0)


class BusyLoading(Faulty):
    def train_data(self, params: Parameters) -> Dataset[Any]:
        self.params = params
        return Busy()


def own_loop(trial: Trial) -> None:
    """As people write them."""
    torch.manual_seed(trial.seed)
    model = nn.Linear(4, 1)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
    loader = DataLoader(TensorDataset(torch.randn(40, 4)), batch_size=8, num_workers=trial.params.get("num_workers", 0))
    for epoch in range(trial.epochs):
        for (inputs,) in trial.watch(loader):
            optimizer.zero_grad()
            model(inputs).square().mean().backward()
            optimizer.step()
        trial.report(epoch + 1, val_accuracy=0.5)


def breaking_off(trial: Trial) -> None:
    """A few steps an epoch, whatever the loader has."""
    model = nn.Linear(4, 1)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
    loader = DataLoader(TensorDataset(torch.randn(4000, 4)), batch_size=8)
    for epoch in range(trial.epochs):
        for step, (inputs,) in enumerate(trial.watch(loader), start=1):
            optimizer.zero_grad()
            model(inputs).square().mean().backward()
            optimizer.step()
            if step == trial.params.get("steps_per_epoch", 3):
                break
        trial.report(epoch + 1, val_accuracy=0.5)
        if trial.should_stop():
            return


def own_epochs(trial: Trial) -> None:
    """Two epochs of a step each, whatever it is asked for."""
    for epoch in range(2):
        for _ in trial.watch(iter([torch.zeros(8, 4)])):
            pass
        trial.report(epoch + 1, val_accuracy=0.5)
