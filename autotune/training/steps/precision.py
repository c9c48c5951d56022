"""Numbers with fewer digits: autocast, and the scaler that fp16's gradients need."""

from contextlib import AbstractContextManager, nullcontext

import torch
from torch.amp import GradScaler, autocast

from autotune.errors import TaskError

_DTYPES = {"bf16": torch.bfloat16, "fp16": torch.float16}


class Precision:
    """The precision of forward pass and loss on a device: fp32, bf16 or fp16."""

    def __init__(self, name: str, *, device: torch.device) -> None:
        if name != "fp32" and name not in _DTYPES:
            raise TaskError(f"precision: must be one of fp32, {', '.join(_DTYPES)}, got {name!r}")
        self._device = device
        self._dtype = _DTYPES.get(name)
        self.scaler = GradScaler(device.type) if name == "fp16" else None

    def autocast(self) -> AbstractContextManager[object]:
        """A context that may be entered again and again, but not inside itself."""
        if self._dtype is None:
            return nullcontext()
        return autocast(self._device.type, dtype=self._dtype)

    @property
    def in_force(self) -> str:
        """The precision that torch names inside the context."""
        with self.autocast():
            if not torch.is_autocast_enabled(self._device.type):
                return "fp32"
            dtype = torch.get_autocast_dtype(self._device.type)
        return next(name for name, known in _DTYPES.items() if known == dtype)
